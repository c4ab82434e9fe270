package admin

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOperations holds the list: every operation once, sorted, with what a
// face needs to offer it. A new operation is added here too.
func TestOperations(t *testing.T) {
	type row struct {
		Name    string
		Role    Role
		Changes bool
	}
	want := []row{
		{"authority.certify", RoleAdministrator, true},
		{"authority.complete", RoleAdministrator, true},
		{"authority.init", RoleAdministrator, true},
		{"authority.issue", RoleAdministrator, true},
		{"authority.issued", RoleViewer, false},
		{"authority.list", RoleViewer, false},
		{"authority.publish", RoleAdministrator, true},
		{"authority.revoke", RoleAdministrator, true},
		{"authority.show", RoleViewer, false},
		{"certificate.enable", RoleAdministrator, true},
		{"certificate.export", RoleAdministrator, true},
		{"certificate.import", RoleAdministrator, true},
		{"certificate.list", RoleViewer, false},
		{"certificate.new", RoleAdministrator, true},
		{"certificate.partners", RoleViewer, false},
		{"certificate.remove", RoleAdministrator, true},
		{"certificate.request", RoleAdministrator, true},
		{"certificate.seal", RoleAdministrator, true},
		{"certificate.show", RoleViewer, false},
		{"certificate.verify", RoleViewer, false},
		{"counters.show", RoleViewer, false},
		{"crl.flush", RoleAdministrator, true},
		{"crl.list", RoleViewer, false},
		{"crl.refresh", RoleAdministrator, true},
		{"crl.show", RoleViewer, false},
		{"message.list", RoleViewer, false},
		{"message.remove", RoleAdministrator, true},
		{"message.resume", RoleAdministrator, true},
		{"message.show", RoleViewer, false},
		{"message.suspend", RoleAdministrator, true},
		{"partner.export", RoleAdministrator, true},
		{"partner.import", RoleAdministrator, true},
		{"partner.list", RoleViewer, false},
		{"partner.remove", RoleAdministrator, true},
		{"partner.show", RoleViewer, false},
		{"proxy.set", RoleAdministrator, true},
		{"proxy.show", RoleViewer, false},
		{"queue.list", RoleViewer, false},
		{"queue.remove", RoleAdministrator, true},
		{"queue.resume", RoleAdministrator, true},
		{"queue.retry", RoleAdministrator, true},
		{"queue.show", RoleViewer, false},
		{"queue.suspend", RoleAdministrator, true},
		{"status.show", RoleViewer, false},
		{"trust.check", RoleViewer, false},
		{"trust.list", RoleViewer, false},
	}
	var got []row
	for _, op := range Operations() {
		got = append(got, row{op.Name, op.Role, op.Changes})
		if !regexp.MustCompile(`^[a-z]+(\.[a-z]+)+$`).MatchString(op.Name) {
			t.Errorf("%q is no noun.verb", op.Name)
		}
		if !strings.HasSuffix(op.Summary, ".") || len(op.Summary) < 10 {
			t.Errorf("%s: the summary %q is no sentence", op.Name, op.Summary)
		}
		if op.Changes && op.Role != RoleAdministrator {
			t.Errorf("%s changes something and a %s may call it", op.Name, op.Role)
		}
		if op.call == nil {
			t.Errorf("%s does nothing", op.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.IsSortedFunc(got, func(a, b row) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the list is not sorted by name")
	}
}

// TestEveryMethodIsListed finds operations that were written and not listed.
func TestEveryMethodIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, op := range Operations() {
		noun, verb, _ := strings.Cut(op.Name, ".")
		listed[noun+verb] = true
	}
	service, ctx := reflect.TypeFor[*Service](), reflect.TypeFor[context.Context]()
	failure := reflect.TypeFor[error]()
	operations := 0
	for m := range service.Methods() {
		f := m.Type // receiver, context, request -> response, error
		if f.NumIn() != 3 || f.In(1) != ctx || f.NumOut() != 2 || f.Out(1) != failure {
			continue
		}
		operations++
		if !listed[strings.ToLower(m.Name)] {
			t.Errorf("%s has the shape of an operation and is not in the list", m.Name)
		}
	}
	if operations != len(listed) {
		t.Errorf("%d methods for %d operations", operations, len(listed))
	}
}

func TestRoles(t *testing.T) {
	s := &Service{operations: []Operation{
		define(Operation{Name: "thing.show", Role: RoleViewer}, func(*Service, context.Context, Empty) (string, error) { return "shown", nil }),
		define(Operation{Name: "thing.remove", Role: RoleAdministrator, Changes: true}, func(*Service, context.Context, Empty) (string, error) { return "removed", nil }),
	}}
	tests := []struct {
		name      string
		role      Role
		operation string
		want      any
		kind      Kind
	}{
		{"administrator shows", RoleAdministrator, "thing.show", "shown", ""},
		{"administrator removes", RoleAdministrator, "thing.remove", "removed", ""},
		{"viewer shows", RoleViewer, "thing.show", "shown", ""},
		{"viewer removes", RoleViewer, "thing.remove", nil, KindNotPermitted},
		{"nobody shows", "", "thing.show", nil, KindNotPermitted},
		{"nobody removes", "", "thing.remove", nil, KindNotPermitted},
		{"unknown role shows", "gardener", "thing.show", nil, KindNotPermitted},
		{"unknown operation", RoleAdministrator, "thing.burn", nil, KindNotFound},
		{"other case", RoleAdministrator, "Thing.Show", nil, KindNotFound},
		{"no name", RoleAdministrator, "", nil, KindNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Call(t.Context(), tt.role, tt.operation, nil)
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			var e *Error
			if errors.As(err, &e); e == nil && tt.kind != "" || e != nil && e.Kind != tt.kind {
				t.Errorf("got %v, want kind %q", err, tt.kind)
			}
		})
	}
}

func TestStrictDecoding(t *testing.T) {
	type request struct {
		Identity string `json:"identity"`
		Resubmit bool   `json:"resubmit"`
	}
	s := &Service{operations: []Operation{
		define(Operation{Name: "thing.show", Role: RoleViewer}, func(_ *Service, _ context.Context, r request) (request, error) { return r, nil }),
	}}
	tests := []struct {
		name, body string
		want       request
		mistake    string // in the error; empty: none
	}{
		{"empty", "", request{}, ""},
		{"blank", " \n", request{}, ""},
		{"null", "null", request{}, ""},
		{"no field", "{}", request{}, ""},
		{"fields", `{"identity": "3", "resubmit": true}`, request{"3", true}, ""},
		{"blank around", "\n{\"identity\": \"3\"}\n ", request{"3", false}, ""},
		{"unknown field", `{"identity": "3", "force": true}`, request{}, `"force"`},
		{"trailing value", `{"identity": "3"} {}`, request{}, "text after"},
		{"trailing text", `{"identity": "3"} x`, request{}, "text after"},
		{"trailing bracket", `{"identity": "3"}]`, request{}, "text after"},
		{"other type", `{"identity": 3}`, request{}, "identity"},
		{"list", `[]`, request{}, "array"},
		{"cut", `{"identity": "3`, request{}, "unexpected EOF"},
		{"no JSON", `identity=3`, request{}, "invalid character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Call(t.Context(), RoleViewer, "thing.show", []byte(tt.body))
			if tt.mistake == "" {
				if err != nil || got != tt.want {
					t.Errorf("got %v, %v; want %v", got, err, tt.want)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindInvalid || e.Object != "thing.show" || !strings.Contains(e.Detail, tt.mistake) {
				t.Errorf("got %v, want invalid with %q", err, tt.mistake)
			}
		})
	}
}

// FuzzDecodeStrict: what is accepted is one JSON value that says no more than
// the request can, so that nothing a caller wrote is dropped.
func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{"", "null", "{}", `{"identity":"3"}`, `{"identity":"3"}x`, `{"Identity":"3"}`, `{"a":1}`, "[", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r QueueRetryRequest
		if err := decodeStrict(body, &r); err != nil {
			return
		}
		if strings.TrimSpace(string(body)) == "" {
			return
		}
		var all map[string]any
		if err := json.Unmarshal(body, &all); err != nil {
			t.Fatalf("%q is accepted and is no JSON object: %v", body, err)
		}
		for key := range all {
			if !strings.EqualFold(key, "identity") && !strings.EqualFold(key, "resubmit") {
				t.Errorf("%q is accepted with the unknown field %q", body, key)
			}
		}
	})
}
