//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/tests/testkit"
)

// The programs that administrators reach for when they look at a mail server:
//
//	openssl s_client  (OpenSSL)  --.
//	gnutls-cli        (GnuTLS)   ----  STARTTLS  --->  Contoso, mailpact 127.20.0.1  -->  sink
//	swaks             (Net::SSLeay) '                     connector Inet:  domainSecureEnabled
//	                                                      connector Plain: TLS, not domain-secure

// sClient runs openssl s_client against a port of the gateway, says EHLO and
// QUIT, and returns what it printed. It verifies our certificate and our name.
func (w *town) sClient(port int, args ...string) (code int, output string) {
	w.t.Helper()
	args = append([]string{
		"s_client", "-starttls", "smtp", "-name", "client.test", "-connect", testkit.HostPort(contosoHost, port),
		"-CAfile", w.contosoCA.RootFile(), "-verify_return_error", "-verify_hostname", "mail1.contoso.com", "-crlf", "-ign_eof",
	}, args...)
	return testkit.Tool(w.t, "EHLO client.test\nQUIT\n", "openssl", args...)
}

// TestOpenSSLHandshake looks at the handshake itself. The ordinary connector
// stands beside the domain-secure one to show that what is missing from either
// is missing there alone.
func TestOpenSSLHandshake(t *testing.T) {
	testkit.RequirePrograms(t, "openssl")
	w := foundTown(t)
	cert, key := w.woodgroveLeaf(townOptions{})
	const (
		request = "\nRequested Signature Algorithms: " // printed when a certificate was asked for
		noNames = "\nNo client certificate CA names sent\n"
		ticket  = "TLS session ticket:"
	)
	for _, version := range []string{"1.2", "1.3"} {
		flag := "-tls" + strings.ReplaceAll(version, ".", "_")
		tests := []struct {
			name       string
			port       int
			args       []string
			want, lack []string
		}{
			{"domain-secure", w.port, nil, []string{request, noNames}, []string{ticket}},
			{"domain-secure, with a certificate", w.port, []string{"-cert", cert, "-key", key}, []string{request, noNames}, []string{ticket}},
			{"ordinary", w.plain, nil, []string{ticket}, []string{request}},
		}
		for _, tt := range tests {
			t.Run("TLS "+version+" "+tt.name, func(t *testing.T) {
				w := *w
				w.t = t
				code, out := w.sClient(tt.port, append([]string{flag}, tt.args...)...)
				want := append([]string{"New, TLSv" + version + ", ", "Verify return code: 0 (ok)", "Verified peername: mail1.contoso.com", "\n250-mail1.contoso.com Hello ", "\n221 2.0.0 "}, tt.want...)
				for _, text := range want {
					if !strings.Contains(out, text) {
						t.Errorf("openssl does not print %q", text)
					}
				}
				for _, text := range append([]string{"STARTTLS\r\n"}, tt.lack...) {
					if strings.Contains(out, text) {
						t.Errorf("openssl prints %q", text)
					}
				}
				if code != 0 || t.Failed() {
					t.Errorf("exit code %d:\n%s", code, out)
				}
			})
		}
	}
	for _, port := range []int{w.port, w.plain} {
		// OpenSSL itself allows the old versions at this security level only.
		for _, flag := range []string{"-tls1_1", "-tls1"} {
			code, out := w.sClient(port, flag, "-cipher", "DEFAULT@SECLEVEL=0")
			if code == 0 || !strings.Contains(out, "tlsv1 alert protocol version") {
				t.Errorf("openssl s_client %s: exit code %d, want an alert:\n%s", flag, code, out)
			}
		}
	}
}

// tlsClient is a program that carries a dialog over STARTTLS.
type tlsClient struct {
	name string
	// command returns the command line for a TLS version and a client certificate, which may be "".
	command func(w *town, version, cert, key string) []string
}

func tlsClients(t *testing.T) []tlsClient {
	log := filepath.Join(t.TempDir(), "gnutls.log")
	return []tlsClient{
		{"openssl", func(w *town, version, cert, key string) []string {
			c := []string{
				"openssl", "s_client", "-quiet", "-starttls", "smtp", "-connect", w.contoso(), "-CAfile", w.contosoCA.RootFile(),
				"-verify_return_error", "-verify_hostname", "mail1.contoso.com", "-tls" + strings.ReplaceAll(version, ".", "_"),
			}
			if cert != "" {
				c = append(c, "-cert", cert, "-key", key)
			}
			return c
		}},
		{"gnutls-cli", func(w *town, version, cert, key string) []string {
			c := []string{
				"gnutls-cli", "--starttls-proto=smtp", "--port", fmt.Sprint(w.port), "--x509cafile", w.contosoCA.RootFile(),
				"--verify-hostname=mail1.contoso.com", "--logfile", log, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS" + version,
			}
			if cert != "" {
				c = append(c, "--x509certfile", cert, "--x509keyfile", key)
			}
			return append(c, contosoHost)
		}},
	}
}

func TestTLSClientsAsThePartner(t *testing.T) {
	testkit.RequirePrograms(t, "openssl", "gnutls-cli")
	w := foundTown(t)
	right, rightKey := w.woodgroveLeaf(townOptions{})
	wrong, wrongKey, _ := w.woodgroveCA.Leaf("wrong", "mail1.litware.com")
	foreign, foreignKey, _ := testkit.NewPKI(t, "A root that nobody trusts").Leaf("foreign", "mail1.woodgrovebank.com")
	tests := []struct{ name, cert, key, reason string }{
		{"good", right, rightKey, ""},
		{"none", "", "", "EmptyCertificate"},
		{"another name", wrong, wrongKey, "SubjectMismatch"},
		{"unknown root", foreign, foreignKey, "UntrustedRoot"},
	}
	n := 0
	for _, client := range tlsClients(t) {
		for _, version := range []string{"1.2", "1.3"} {
			for _, tt := range tests {
				t.Run(client.name+" TLS "+version+" certificate "+tt.name, func(t *testing.T) {
					w := *w
					w.t = t
					command := client.command(&w, version, tt.cert, tt.key)
					d := testkit.DialProgram(t, command[0], command[1:]...)
					if r := d.Say("EHLO client.test"); !strings.HasPrefix(r, "250-mail1.contoso.com Hello ") || strings.Contains(r, "STARTTLS") {
						t.Fatalf("EHLO: %s", r)
					}
					if tt.reason != "" {
						want := "454 4.7.5 Certificate validation failure, Reason:" + tt.reason + " [ID]"
						if r := withoutIDs(d.Say("MAIL FROM:<alice@woodgrovebank.com>")); r != want {
							t.Errorf("MAIL: %s, want %s", r, want)
						}
					} else {
						n++
						from := fmt.Sprintf("n%d@woodgrovebank.com", n)
						if r := d.Send(from, "bob@contoso.com", []byte(fmt.Sprintf(note, "woodgrovebank.com", "contoso.com", from))); r != "250 2.6.0 <1@"+from+"> Queued mail for delivery" {
							t.Fatalf("end of data: %s", r)
						}
						m := w.waitMessage(w.contosoBox, from)
						for _, want := range []string{"Mailpact-Domain-Secured: domain=woodgrovebank.com; name=mail1.woodgrovebank.com;", "(TLSv" + version + " cipher TLS_"} {
							if !strings.Contains(unfolded(m), want) {
								t.Errorf("the message lacks %q:\n%s", want, m)
							}
						}
					}
					if r := d.Say("QUIT"); r != "221 2.0.0 Service closing transmission channel" {
						t.Errorf("QUIT: %s", r)
					}
				})
			}
		}
	}
}

func unfolded(s string) string { return strings.ReplaceAll(s, "\r\n ", " ") }

var sessionID = regexp.MustCompile(`\[[0-9A-F]{16}\]`)

// withoutIDs replaces session ids, which nobody can know beforehand.
func withoutIDs(s string) string { return sessionID.ReplaceAllString(s, "[ID]") }

// swaksReplies returns what the server said in a transcript, without the
// greeting, whose date nobody can know, and the replies to EHLO, whose
// extensions other tests look at. "~" stands before what came over TLS.
func swaksReplies(transcript string) []string {
	var replies []string
	hello := false
	for _, line := range strings.Split(transcript, "\n") {
		if len(line) < 5 || line[0] != '<' {
			continue
		}
		tls, text := "", line[4:] // "<- ", "<~ ", and for refusals "<**", "<~*"
		if line[1] == '~' {
			tls = "~"
		}
		switch {
		case strings.HasPrefix(text, "250-"):
			hello = true
		case hello, strings.HasPrefix(text, "220 mail1.contoso.com "):
			hello = false
		default:
			replies = append(replies, tls+withoutIDs(strings.TrimRight(text, "\r")))
		}
	}
	return replies
}

func TestSwaksDialogs(t *testing.T) {
	testkit.RequirePrograms(t, "swaks")
	w := foundTown(t)
	cert, key := w.woodgroveLeaf(townOptions{})
	wrong, wrongKey, _ := w.woodgroveCA.Leaf("wrong", "mail1.litware.com")
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "message.eml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const (
		note   = "From: a@b.example\r\nMessage-ID: <7@b.example>\r\n\r\nGood morning.\r\n"
		queued = "250 2.6.0 <7@b.example> Queued mail for delivery"
		bye    = "221 2.0.0 Service closing transmission channel"
		data   = "354 Start mail input; end with <CRLF>.<CRLF>"
		to     = "250 2.1.5 bob@contoso.com Recipient OK"
		tlsOn  = "220 2.0.0 SMTP server ready"
	)
	verified := []string{"--tls", "--tls-ca-path", w.contosoCA.RootFile(), "--tls-verify"}
	with := func(cert, key string) []string { return append(verified, "--tls-cert", cert, "--tls-key", key) }
	tests := []struct {
		name string
		from string
		args []string
		code int // of swaks: 0 accepted, 23 MAIL, 24 RCPT, 26 end of data refused
		want []string
	}{
		{"in the clear", "a@b.example", nil, 0, []string{"250 2.1.0 a@b.example Sender OK", to, data, queued, bye}},
		{
			"HELO", "a@b.example",
			[]string{"--protocol", "SMTP"},
			0,
			[]string{"250 mail1.contoso.com Hello [127.0.0.1]", "250 2.1.0 a@b.example Sender OK", to, data, queued, bye},
		},
		{"pipelined", "a@b.example", []string{"--pipeline"}, 0, []string{"250 2.1.0 a@b.example Sender OK", to, data, queued, bye}},
		{"STARTTLS", "a@b.example", verified, 0, []string{tlsOn, "~250 2.1.0 a@b.example Sender OK", "~" + to, "~" + data, "~" + queued, "~" + bye}},
		{"null sender", "<>", verified, 0, []string{tlsOn, "~250 2.1.0 <> Sender OK", "~" + to, "~" + data, "~" + queued, "~" + bye}},
		{
			"partner, pipelined over TLS", "a@woodgrovebank.com", append(with(cert, key), "--pipeline"), 0,
			[]string{tlsOn, "~250 2.1.0 a@woodgrovebank.com Sender OK", "~" + to, "~" + data, "~" + queued, "~" + bye},
		},
		{
			"partner without TLS", "a@woodgrovebank.com", nil, 23,
			[]string{"451 4.7.3 STARTTLS required to send mail from this domain [ID]", bye},
		},
		{
			"partner without certificate", "a@woodgrovebank.com", verified, 23,
			[]string{tlsOn, "~454 4.7.5 Certificate validation failure, Reason:EmptyCertificate [ID]", "~" + bye},
		},
		{
			"partner with another name", "a@woodgrovebank.com", with(wrong, wrongKey), 23,
			[]string{tlsOn, "~454 4.7.5 Certificate validation failure, Reason:SubjectMismatch [ID]", "~" + bye},
		},
		{
			"partner without certificate, pipelined", "a@woodgrovebank.com", append(verified, "--pipeline"), 23,
			[]string{tlsOn, "~454 4.7.5 Certificate validation failure, Reason:EmptyCertificate [ID]", "~503 5.5.1 Need MAIL first", "~503 5.5.1 Need MAIL first", "~" + bye},
		},
		{
			"relaying", "a@b.example",
			[]string{"--to", "x@c.example"},
			24,
			[]string{"250 2.1.0 a@b.example Sender OK", "550 5.7.1 Unable to relay [ID]", bye},
		},
		{
			"relaying as a partner", "a@woodgrovebank.com", append(with(cert, key), "--to", "x@c.example"), 24,
			[]string{tlsOn, "~250 2.1.0 a@woodgrovebank.com Sender OK", "~550 5.7.1 Unable to relay [ID]", "~" + bye},
		},
		{
			"one recipient of two, pipelined", "a@b.example",
			[]string{"--pipeline", "--to", "x@c.example,bob@contoso.com"},
			0,
			[]string{"250 2.1.0 a@b.example Sender OK", "550 5.7.1 Unable to relay [ID]", to, data, queued, bye},
		},
		{
			"bare line feeds", "a@b.example",
			[]string{"--no-data-fixup", "--data", "@" + file("Subject: x\r\n\r\na\nb\r\n.")},
			26,
			[]string{"250 2.1.0 a@b.example Sender OK", to, data, "554 5.6.0 Message contains bare CR or LF", bye},
		},
		{
			"too many hops", "a@b.example",
			[]string{"--data", "@" + file(strings.Repeat("Received: from a by b; today\r\n", 100)+"\r\nround and round\r\n")},
			26,
			[]string{"250 2.1.0 a@b.example Sender OK", to, data, "554 5.4.6 Hop count exceeded - possible mail loop [ID]", bye},
		},
		{
			"too large", "a@b.example",
			[]string{"--data", "@" + file("Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 160_000))},
			26,
			[]string{"250 2.1.0 a@b.example Sender OK", to, data, "552 5.3.4 Message exceeds fixed maximum message size", bye},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"--server", contosoHost, "--port", fmt.Sprint(w.port), "--ehlo", "client.test", "--from", tt.from, "--suppress-data", "--timeout", "20s"}
			if !strings.Contains(strings.Join(tt.args, " "), "--to ") {
				args = append(args, "--to", "bob@contoso.com")
			}
			if !strings.Contains(strings.Join(tt.args, " "), "--data ") {
				args = append(args, "--data", "@"+file(note))
			}
			code, out := testkit.Tool(t, "", "swaks", append(args, tt.args...)...)
			if diff := cmp.Diff(tt.want, swaksReplies(out)); diff != "" || code != tt.code {
				t.Errorf("exit code %d, want %d; replies (-want +got):\n%s\n%s", code, tt.code, diff, out)
			}
		})
	}
}

// TestSwaksAuthenticates: a client with an account, by another's SASL.
func TestSwaksAuthenticates(t *testing.T) {
	testkit.RequirePrograms(t, "swaks")
	w := foundTown(t)
	const (
		tlsOn   = "220 2.0.0 SMTP server ready"
		sender  = "~250 2.1.0 alice@contoso.com Sender OK"
		welcome = "~235 2.7.0 Authentication successful"
		wrong   = "~535 5.7.8 Authentication unsuccessful [ID]"
		bye     = "~221 2.0.0 Service closing transmission channel"
		rcpt    = "~250 2.1.5 carol@elsewhere.example Recipient OK"
	)
	tests := []struct {
		name, from, password string
		args                 []string
		code                 int
		want                 []string
	}{
		{"PLAIN", "alice@contoso.com", "horse battery", []string{"--auth", "PLAIN"}, 0, []string{tlsOn, welcome, sender, rcpt, bye}},
		{"LOGIN", "alice@contoso.com", "horse battery", []string{"--auth", "LOGIN"}, 0, []string{tlsOn, "~334 VXNlcm5hbWU6", "~334 UGFzc3dvcmQ6", welcome, sender, rcpt, bye}},
		{"another's address", "alice@stranger.example", "horse battery", []string{"--auth", "PLAIN"}, 23, []string{tlsOn, welcome, "~550 5.7.1 Client does not have permissions to send as this sender [ID]", bye}},
		{
			// The second failure is one too many here.
			"wrong password", "alice@contoso.com", "guess",
			[]string{"--auth", "LOGIN,PLAIN"},
			28,
			[]string{tlsOn, "~334 VXNlcm5hbWU6", "~334 UGFzc3dvcmQ6", wrong, "~421 4.7.0 Too many logon failures, closing transmission channel [ID]"},
		},
		{"nobody", "alice@contoso.com", "", nil, 23, []string{tlsOn, "~530 5.7.1 Client was not authenticated [ID]", bye}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{
				"--server", contosoHost, "--port", fmt.Sprint(w.users), "--ehlo", "client.test", "--from", tt.from, "--to", "carol@elsewhere.example",
				"--tls", "--timeout", "20s", "--quit-after", "RCPT",
			}, tt.args...)
			if tt.args != nil {
				args = append(args, "--auth-user", "alice", "--auth-password", tt.password)
			}
			code, out := testkit.Tool(t, "", "swaks", args...)
			if diff := cmp.Diff(tt.want, swaksReplies(out)); diff != "" || code != tt.code {
				t.Errorf("exit code %d, want %d; replies (-want +got):\n%s\n%s", code, tt.code, diff, out)
			}
		})
	}
	t.Run("in the clear", func(t *testing.T) {
		c, _ := testkit.Dial(t, testkit.HostPort(contosoHost, w.users), "")
		if r := c.Say("EHLO client.test"); strings.Contains(r, "AUTH") {
			t.Errorf("EHLO: %s", r)
		}
		if r := c.Say("AUTH PLAIN AGFsaWNlAGhvcnNlIGJhdHRlcnk="); r != "538 5.7.11 AUTH needs TLS here: send STARTTLS first" {
			t.Errorf("AUTH: %s", r)
		}
	})
	w.gateway.Stop() // the log is written
	if log := w.receiveLog(); !strings.Contains(log, ",AUTH PLAIN <masked>,") && !strings.Contains(log, ",AUTH PLAIN *,") {
		t.Errorf("the protocol log shows no AUTH:\n%s", log)
	}
	for _, secret := range []string{"horse", "aG9yc2UgYmF0dGVyeQ", "AGFsaWNl"} {
		if strings.Contains(w.gateway.Log(), secret) || strings.Contains(w.receiveLog(), secret) {
			t.Errorf("a log shows %q", secret)
		}
	}
}
