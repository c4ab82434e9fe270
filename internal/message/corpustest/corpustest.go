// Package corpustest loads the messages of testdata/corpus for tests. Only
// tests import it.
//
// It fails a test in which there would be nothing to do: when no message is
// found, when a listed one is missing, or when one is not what the list says.
package corpustest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Message is one message of the corpus.
type Message struct {
	Name string // path below testdata/corpus, with slashes
	Data []byte // as found: line ends vary
	// Features are the words of MANIFEST.tsv: what is odd about it.
	Features []string
}

// Has reports whether the list names the feature for the message.
func (m Message) Has(feature string) bool {
	for _, f := range m.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// Wire returns the message as it can cross the wire: every line end is CRLF.
// Each bare CR and bare LF becomes one, as a connector that normalises does it.
func (m Message) Wire() []byte {
	out := make([]byte, 0, len(m.Data)+len(m.Data)/40)
	for i, c := range m.Data {
		switch {
		case c == '\n' && i > 0 && m.Data[i-1] == '\r':
		case c == '\n' || c == '\r':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	return out
}

// Load returns the corpus in the order of its list.
func Load(t testing.TB) []Message {
	t.Helper()
	messages, err := read(filepath.Join(root(t), "testdata", "corpus"))
	if err != nil {
		t.Fatalf("loading corpus: %v", err)
	}
	return messages
}

// errEmpty says that the list names no message.
var errEmpty = errors.New("MANIFEST.tsv names no message")

func read(dir string) ([]Message, error) {
	list, err := os.ReadFile(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		return nil, err
	}
	var messages []Message
	for i, line := range strings.Split(strings.TrimRight(string(list), "\r\n"), "\n") {
		if i == 0 {
			continue // names of the columns
		}
		m, err := readMessage(dir, strings.TrimRight(line, "\r"))
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil, errEmpty
	}
	return messages, nil
}

func readMessage(dir, line string) (Message, error) {
	columns := strings.Split(line, "\t")
	if len(columns) != 4 {
		return Message{}, fmt.Errorf("MANIFEST.tsv has a line of %d columns: %q", len(columns), line)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(columns[0])))
	if err != nil {
		return Message{}, err
	}
	sum := sha256.Sum256(data)
	if strconv.Itoa(len(data)) != columns[1] || hex.EncodeToString(sum[:8]) != columns[2] {
		return Message{}, fmt.Errorf("%s is not what MANIFEST.tsv says: %d octets, SHA-256 %x", columns[0], len(data), sum[:8])
	}
	return Message{Name: columns[0], Data: data, Features: strings.FieldsFunc(columns[3], func(r rune) bool { return r == ',' || r == ' ' })}, nil
}

// root is the directory of go.mod above the package that is being tested.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("loading corpus: %v", err)
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(b, []byte("module mailpact")) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("loading corpus: no go.mod above the working directory")
		}
		dir = up
	}
}
