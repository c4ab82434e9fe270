package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/queue"
)

// declaredKinds reads the constants of type Kind from the source, so that a new
// one cannot be forgotten in the table.
func declaredKinds(t *testing.T) map[Kind]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		id, _ := v.Type.(*ast.Ident)
		value, _ := v.Values[0].(*ast.BasicLit)
		if id == nil || value == nil || id.Name != "Kind" {
			return true
		}
		text, err := strconv.Unquote(value.Value)
		if err != nil {
			t.Fatal(err)
		}
		kinds[Kind(text)] = true
		return true
	})
	if len(kinds) < 6 {
		t.Fatalf("the source declares %d kinds: %v", len(kinds), kinds)
	}
	return kinds
}

func TestEveryKindHasAStatus(t *testing.T) {
	want := map[Kind]int{
		KindInvalid: 422, KindNotFound: 404, KindConflict: 409, KindNotPermitted: 403, KindUnavailable: 503, KindInternal: 500,
	}
	if diff := cmp.Diff(want, kindStatus); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for k := range declaredKinds(t) {
		if kindStatus[k] == 0 {
			t.Errorf("the kind %q has no status", k)
		}
	}
}

func TestProblem(t *testing.T) {
	secret := errors.New("opening /var/lib/mailpact/queue.db: disk I/O error")
	tests := []struct {
		name     string
		err      error
		want     map[string]any
		internal bool
	}{
		{"kind with everything", &Error{Kind: KindNotFound, Object: "queue 7", Detail: "does not exist", Fix: "mailpact queue list"}, map[string]any{
			"type": "about:blank", "title": "Not Found", "status": 404.0, "kind": "notFound",
			"object": "queue 7", "detail": "does not exist", "fix": "mailpact queue list",
		}, false},
		{"wrapped", fmt.Errorf("showing: %w", &Error{Kind: KindConflict, Detail: "is suspended"}), map[string]any{
			"type": "about:blank", "title": "Conflict", "status": 409.0, "kind": "conflict", "detail": "is suspended",
		}, false},
		{"without a kind", secret, map[string]any{
			"type": "about:blank", "title": "Internal Server Error", "status": 500.0, "kind": "internal",
			"detail": "the server met a fault; its log says more",
		}, true},
		{"of an unknown kind", &Error{Kind: "odd", Detail: "is odd"}, map[string]any{
			"type": "about:blank", "title": "Internal Server Error", "status": 500.0, "kind": "odd", "detail": "is odd",
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, internal := problemOf(tt.err)
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if internal != tt.internal {
				t.Errorf("internal is %v", internal)
			}
		})
	}
	for k, status := range kindStatus {
		if p, _ := problemOf(&Error{Kind: k}); p.Status != status || p.Title != http.StatusText(status) {
			t.Errorf("%s becomes %d %s", k, p.Status, p.Title)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&Error{Detail: "is wrong"}, "is wrong"},
		{&Error{Object: "queue 7", Detail: "does not exist"}, "queue 7: does not exist"},
		{NotFound("queue 7", "mailpact queue list"), "queue 7: does not exist (mailpact queue list)"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	cause := errors.New("connection refused")
	u := &UnreachableError{Socket: "/run/mailpact/admin.sock", Err: cause}
	if !errors.Is(u, cause) {
		t.Error("an UnreachableError loses its cause")
	}
	for _, want := range []string{"/run/mailpact/admin.sock", "connection refused", "mailpact serve", "--socket"} {
		if !strings.Contains(u.Error(), want) {
			t.Errorf("%q lacks %q", u, want)
		}
	}
}

func TestQueueErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		err  error
		kind Kind // empty: as it was
	}{
		{fmt.Errorf("queue 7: %w", queue.ErrNoQueue), KindNotFound},
		{queue.ErrAmbiguous, KindInvalid},
		{broken, ""},
	}
	for _, tt := range tests {
		got := queueError(tt.err)
		var e *Error
		switch errors.As(got, &e) {
		case true:
			if e.Kind != tt.kind || e.Fix == "" || e.Detail != tt.err.Error() {
				t.Errorf("%v becomes %+v", tt.err, e)
			}
		default:
			if tt.kind != "" || !errors.Is(got, tt.err) {
				t.Errorf("%v becomes %v", tt.err, got)
			}
		}
	}
}
