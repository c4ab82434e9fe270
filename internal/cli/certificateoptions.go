package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
	"mailpact/internal/server"
)

// certificateOptions are the flags of all certificate commands.
type certificateOptions struct {
	*globals
	offline server.ConfigureOptions
}

func (o *certificateOptions) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.offline.DataDirectory, "data", "", "work on the files in this data directory, whose server does not run")
	c.Flags().StringVar(&o.offline.File, "config", "", "the same for the data directory of this configuration file")
}

// callCertificate runs an operation on the server, or without one on its files.
func callCertificate[Response any](c *cobra.Command, o *certificateOptions, name string, request any) (Response, error) {
	if o.offline == (server.ConfigureOptions{}) {
		return admin.Call[Response](c.Context(), o.client(), name, request)
	}
	var response Response
	if o.socket != "" {
		return response, &usageError{errors.New("--socket names a running server, --data and --config the files of one that does not run; give one of them")}
	}
	service, closeFiles, err := server.OpenFiles(o.offline)
	if err != nil {
		return response, err
	}
	response, err = callInProcess[Response](c.Context(), service, name, request)
	return response, errors.Join(err, closeFiles())
}

// callInProcess runs an operation in this process, with the same JSON as over the socket.
func callInProcess[Response any](ctx context.Context, s *admin.Service, name string, request any) (Response, error) {
	var response Response
	body, err := json.Marshal(request)
	if err != nil {
		return response, fmt.Errorf("encoding request: %w", err)
	}
	answer, err := s.Call(ctx, admin.RoleAdministrator, name, body)
	if err != nil {
		return response, err
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return response, fmt.Errorf("encoding answer: %w", err)
	}
	return response, json.Unmarshal(data, &response)
}

// done prints what became of a certificate.
func (o *certificateOptions) done(c *cobra.Command, r any, row admin.CertificateRow, notes []string, what string) error {
	return o.render(c, r, func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, "%s: %s %s\n", what, row.Thumbprint, printable(row.Subject)); err != nil {
			return err
		}
		for _, n := range notes {
			if _, err := fmt.Fprintf(w, "note: %s\n", printable(n)); err != nil {
				return err
			}
		}
		return nil
	})
}
