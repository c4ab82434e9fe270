// Package corpus sends every message of testdata/corpus through the running
// gateway and compares what comes out with what went in, octet for octet.
package corpus

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailpact/tests/testkit"
)

const corpusDirectory = "../../testdata/corpus"

// exception is one message that does not come out as it went in, and why.
type exception struct {
	refused string   // the beginning of the reply that it gets; "" when it is accepted
	removed []string // lines that the header firewall takes out
	why     string
}

// exceptions names each of them. All others come out as they went in, from
// their first octet on; a last line without CRLF gets one.
var exceptions = map[string]exception{
	"enmime/testdata__encode__part-message-rfc822.golden.eml": {
		refused: "554 5.6.0", why: "it holds a bare CR, which an Internet connector rejects",
	},
	"ruby-mail/error_emails__header_fields_with_empty_values.eml": {
		removed: []string{"X-MS-Exchange-Organization-AuthAs:", "X-MS-Exchange-Organization-AuthSource:"},
		why:     "only our own servers may write the organisation's fields",
	},
}

func TestCorpusThroughTheGateway(t *testing.T) {
	files := corpusFiles(t)
	sink := testkit.StartSink(t, "127.0.0.1")
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(testkit.FreePort(t, "127.0.0.1")))
	testkit.StartGateway(t, t.TempDir(), fmt.Sprintf(`
server: {fqdn: mail1.contoso.com, dataDirectory: data, http: ""}
trust: {systemRoots: false}
acceptedDomains: [{name: contoso.com, type: Authoritative, handOff: "smtp://%s"}]
receiveConnectors:
  - {name: Inet, bindings: ["%s"], permissionGroups: [AnonymousUsers], maxMessageSize: 50MB}
sendConnectors: []
`, sink.Addr, addr))

	want := map[string][]byte{}
	d, _ := testkit.Dial(t, addr, "")
	d.Say("EHLO corpus.test")
	for i, file := range files {
		name, err := filepath.Rel(corpusDirectory, file)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data = crlf(data)
		reply := d.Send(fmt.Sprintf("n%d@corpus.test", i), "box@contoso.com", data)
		x, isException := exceptions[name]
		switch {
		case isException && x.refused != "":
			if !strings.HasPrefix(reply, x.refused) {
				t.Errorf("%s: reply %q, want %s (%s)", name, reply, x.refused, x.why)
			}
		case !strings.HasPrefix(reply, "250"):
			t.Errorf("%s: refused with %q", name, reply)
		default:
			want[fmt.Sprintf("n%d@corpus.test", i)] = without(t, data, x.removed)
		}
		if !strings.HasPrefix(reply, "250") {
			d, _ = testkit.Dial(t, addr, "") // errors are counted per session
			d.Say("EHLO corpus.test")
		}
	}
	testkit.Eventually(t, 30*time.Second, "every accepted message comes out", func() bool { return len(sink.Messages()) >= len(want) })
	for _, m := range sink.Messages() {
		sent, ok := want[m.From]
		if !ok {
			t.Errorf("a message from %s came that nobody sent, or came twice", m.From)
			continue
		}
		delete(want, m.From)
		if !bytes.HasSuffix(m.Data, sent) {
			t.Errorf("%s (%s) was changed:\nsent %q\ngot  %q", m.From, files[index(m.From)], head(sent), head(m.Data))
			continue
		}
		if added := m.Data[:len(m.Data)-len(sent)]; !bytes.HasPrefix(added, []byte("Received: ")) || bytes.Contains(added, []byte("\r\n\r\n")) {
			t.Errorf("%s: what was prepended is not a Received field: %q", m.From, added)
		}
	}
}

func corpusFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(corpusDirectory, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(path, ".eml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 150 {
		t.Fatalf("the corpus has %d messages; it should have about 200", len(files))
	}
	return files
}

// crlf makes every line end CRLF, and gives the last line one.
func crlf(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	if !bytes.HasSuffix(data, []byte("\r\n")) {
		data = append(data, "\r\n"...)
	}
	return data
}

// without takes the one-line fields that begin with prefixes out of data; each
// must be there, so that no exception outlives its cause.
func without(t *testing.T, data []byte, prefixes []string) []byte {
	t.Helper()
	for _, p := range prefixes {
		at := bytes.Index(data, []byte("\r\n"+p))
		if at < 0 {
			t.Fatalf("no line begins with %q", p)
		}
		end := at + 2 + bytes.Index(data[at+2:], []byte("\r\n"))
		data = append(append([]byte(nil), data[:at]...), data[end:]...)
	}
	return data
}

func index(from string) (i int) {
	_, _ = fmt.Sscanf(from, "n%d@", &i)
	return i
}

func head(b []byte) string { return string(b[:min(len(b), 600)]) }
