package protocollog

import (
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2006, 8, 28, 22, 37, 53, 323e6, time.UTC)

// record runs do with a session of a log of its own and returns the file.
func record(t *testing.T, prefix, logType string, o SessionOptions, do func(*Session)) string {
	t.Helper()
	dir := t.TempDir()
	l, err := Open(Options{Directory: dir, Prefix: prefix, Type: logType, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	do(l.Session(o))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Lost() != 0 {
		t.Errorf("%d rows lost", l.Lost())
	}
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(list) != 1 || filepath.Base(list[0]) != prefix+"20060828-1.log" {
		t.Fatalf("files: %v, %v", list, err)
	}
	b, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

var (
	edgeCertificate = CertificateRows{
		Subject: "CN=edgea36", Issuer: "CN=edgea36",
		Serial: "CA2EDF2487C6F09B4E413FD3812A7F89", Thumbprint: "E8DA062786FD097DD8D79FF10C583CC23AD64F6C",
		Names: []string{"edgea36", "edgea36.dns.contoso.com"},
	}
	partnerCertificate = CertificateRows{
		Subject: "CN=smi.extest.contoso.com, OU=Contoso, O=Corp, L=Spokane, S=WA, C=US",
		Issuer:  "CN=ExCertDom EntSub Issuing CA v1.0, DC=ExCertDom, DC=ExTest, DC=Contoso, DC=Com",
		Serial:  "446DD186000A00002819", Thumbprint: "DC27B5F8657F84B15B5004BE63CE482721871582",
		Names: []string{"smi.extest.contoso.com"},
	}
)

// handshake is what both sides log of a handshake with certificates both ways.
func handshake(s *Session) {
	s.Certificate(LabelSending, edgeCertificate)
	s.Certificate(LabelReceived, partnerCertificate)
}

// handshakeRows are its events, data and contexts, as the documents show them.
var handshakeRows = [][]string{
	{"*", "", "Sending certificate"},
	{"*", "CN=edgea36", "Certificate subject"},
	{"*", "CN=edgea36", "Certificate issuer name"},
	{"*", "CA2EDF2487C6F09B4E413FD3812A7F89", "Certificate serial number"},
	{"*", "E8DA062786FD097DD8D79FF10C583CC23AD64F6C", "Certificate thumbprint"},
	{"*", "edgea36;edgea36.dns.contoso.com", "Certificate alternate names"},
	{"*", "", "Received certificate"},
	{"*", "CN=smi.extest.contoso.com, OU=Contoso, O=Corp, L=Spokane, S=WA, C=US", "Certificate subject"},
	{"*", "CN=ExCertDom EntSub Issuing CA v1.0, DC=ExCertDom, DC=ExTest, DC=Contoso, DC=Com", "Certificate issuer name"},
	{"*", "446DD186000A00002819", "Certificate serial number"},
	{"*", "DC27B5F8657F84B15B5004BE63CE482721871582", "Certificate thumbprint"},
	{"*", "smi.extest.contoso.com", "Certificate alternate names"},
}

// TestSendTranscript drives a session as the send side of the documented
// transcript does, and expects its rows in its order.
func TestSendTranscript(t *testing.T) {
	keywords := []string{"ENHANCEDSTATUSCODES", "PIPELINING", "EXPN", "VERB", "8BITMIME", "SIZE", "DSN", "ETRN", "STARTTLS", "DELIVERBY"}
	var want [][]string
	received := func(s *Session, line string) {
		s.Received(line)
		want = append(want, []string{"<", line, ""})
	}
	sent := func(s *Session, line string) {
		s.Sent(line)
		want = append(want, []string{">", line, ""})
	}
	hello := func(s *Session, startTLS bool) {
		sent(s, "EHLO edgea36.dns.contoso.com")
		received(s, "250-edgedns3 Hello woodgrove.com [192.168.0.2], pleased to meet you")
		for _, k := range keywords {
			if k != "STARTTLS" || startTLS {
				received(s, "250-"+k)
			}
		}
		received(s, "250 HELP")
	}
	got := record(t, SendPrefix, SendType, SessionOptions{
		Connector: "Internet", SessionID: "08C895F533E837EC", Local: "192.168.0.2:1025", Remote: "192.168.0.1:25",
	}, func(s *Session) {
		s.Connected()
		want = append(want, []string{"+", "", ""})
		received(s, "220 edgedns3 ESMTP Microsoft ESMTP MAIL Service, Version: 8.0.647.0; Tue, 29 Aug 2006 04:22:00 -0700 (PDT)")
		hello(s, true)
		sent(s, "STARTTLS")
		received(s, "220 2.0.0 Ready to start TLS")
		handshake(s)
		want = append(want, handshakeRows...)
		hello(s, false)
		s.Message(ContextSending)
		want = append(want, []string{"*", "08C895F533E837EC;2006-08-28T22:37:53.323Z;1", "sending message"})
		sent(s, "MAIL FROM:<user@woodgrove.com> SIZE=614")
		sent(s, "RCPT TO:<root@smi.extest.contoso.com>")
		received(s, "250 2.1.0 <user@woodgrove.com>... Sender ok")
		received(s, "250 2.1.5 <root@smi.extest.contoso.com>... Recipient ok")
		sent(s, "DATA")
		received(s, `354 Enter mail, end with "." on a line by itself`)
		received(s, "250 2.0.0 k7TBM0BZ000043 Message accepted for delivery")
		sent(s, "QUIT")
		received(s, "221 2.0.0 edgedns3 closing connection")
		s.Disconnected(ContextLocal)
		want = append(want, []string{"-", "", "Local"})
	})
	golden(t, "send.log", got)
	checkRows(t, got, "Internet", want)
}

// TestReceiveTranscript is the same for the receive side, with the rows about
// permissions that a receive connector adds.
func TestReceiveTranscript(t *testing.T) {
	var want [][]string
	received := func(s *Session, line string) {
		s.Received(line)
		want = append(want, []string{"<", line, ""})
	}
	sent := func(s *Session, lines ...string) {
		for _, line := range lines {
			s.Sent(line)
			want = append(want, []string{">", line, ""})
		}
	}
	const anonymous = "SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders"
	got := record(t, ReceivePrefix, ReceiveType, SessionOptions{
		Connector: `EDGEA36\Inet`, SessionID: "08C895F533E837EC", Local: "192.168.0.2:25", Remote: "192.168.0.1:1030",
	}, func(s *Session) {
		s.Connected()
		s.Info(anonymous, ContextPermissions)
		want = append(want, []string{"+", "", ""}, []string{"*", anonymous, "Set Session Permissions"})
		sent(s, "220 edgea36 Microsoft ESMTP MAIL Service, Version: 8.0.647.0 ready at Mon, 28 Aug 2006 15:37:53 -0700")
		received(s, "EHLO edgedns3")
		sent(s, "250-edgea36.dns.contoso.com Hello [192.168.0.1]", "250-SIZE 15728640", "250-PIPELINING", "250-DSN",
			"250-ENHANCEDSTATUSCODES", "250-STARTTLS", "250-AUTH", "250-8BITMIME", "250-BINARYMIME", "250 CHUNKING")
		received(s, "STARTTLS")
		sent(s, "220 2.0.0 SMTP server ready")
		handshake(s)
		want = append(want, handshakeRows...)
		received(s, "EHLO edgedns3")
		sent(s, "250-edgea36.dns.contoso.com Hello [192.168.0.1]", "250-SIZE 15728640", "250-PIPELINING", "250-DSN",
			"250-ENHANCEDSTATUSCODES", "250-AUTH", "250-8BITMIME", "250-BINARYMIME", "250 CHUNKING")
		received(s, "MAIL From:<user@smi.extest.contoso.com> SIZE=16")
		s.Message(ContextReceiving)
		want = append(want, []string{"*", "08C895F533E837EC;2006-08-28T22:37:53.323Z;1", "receiving message"})
		sent(s, "250 2.1.0 user@smi.extest.contoso.com Sender OK")
		received(s, "RCPT To:<user@woodgrove.com>")
		sent(s, "250 2.1.5 user@woodgrove.com Recipient OK")
		received(s, "DATA")
		sent(s, "354 Start mail input; end with <CRLF>.<CRLF>",
			"250 2.6.0 <200608281121.k7SBHYi0004586@edgedns3> Queued mail for delivery")
		received(s, "QUIT")
		sent(s, "221 2.0.0 Service closing transmission channel")
		s.Disconnected(ContextRemote)
		want = append(want, []string{"-", "", "Remote"})
	})
	golden(t, "receive.log", got)
	checkRows(t, got, `EDGEA36\Inet`, want)
}

// checkRows reads the file as any reader of such logs would, and compares
// event, data and context of each row, and what all rows share.
func checkRows(t *testing.T, file, connector string, want [][]string) {
	t.Helper()
	r := csv.NewReader(strings.NewReader(file))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for i, row := range rows {
		if len(row) != 9 || row[1] != connector || row[2] != "08C895F533E837EC" {
			t.Fatalf("row %d: %q", i, row)
		}
		if row[0] != "2006-08-28T22:37:53.323Z" || row[3] != strconv.Itoa(i) {
			t.Errorf("row %d: time %s, sequence number %s", i, row[0], row[3])
		}
		got = append(got, row[6:])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	type line struct {
		event     byte
		in, shown string
	}
	tests := []struct {
		name  string
		lines []line
	}{
		{"initial response, we are the server", []line{
			{'<', "AUTH PLAIN AHVzZXIAcGFzcw==", "AUTH PLAIN <masked>"},
			{'>', "235 2.7.0 ok", "235 2.7.0 ok"},
			{'<', "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>"},
		}},
		{"a dialogue", []line{
			{'<', "auth login", "AUTH login"},
			{'>', "334 VXNlcm5hbWU6", "334 <masked>"},
			{'<', "dXNlcg==", "<masked>"},
			{'>', "334 UGFzc3dvcmQ6", "334 <masked>"},
			{'<', "cGFzcw==", "<masked>"},
			{'>', "535 5.7.8 no", "535 5.7.8 no"},
			{'<', "NOOP", "NOOP"},
		}},
		{"we are the client", []line{
			{'>', "AUTH CRAM-MD5", "AUTH CRAM-MD5"},
			{'<', "334 PDE4OTY+", "334 <masked>"},
			{'>', "dGltIGI5", "<masked>"},
			{'<', "235 ok", "235 ok"},
			{'>', "QUIT", "QUIT"},
		}},
		{"a secret that looks like a reply", []line{
			{'<', "AUTH LOGIN", "AUTH LOGIN"},
			{'>', "334", "334"},
			{'<', "250 ok", "<masked>"},
			{'<', "secret", "<masked>"},
			{'>', "500 5.5.1 no", "500 5.5.1 no"},
		}},
		{"a secret where the mechanism belongs", []line{
			{'<', "AUTH QUhVZXIAcGFzc3dvcmQgaGVyZQ==", "AUTH <masked>"},
		}},
		{"no AUTH command", []line{
			{'<', "AUTHORITY x", "AUTHORITY x"},
			{'>', "250-AUTH LOGIN PLAIN", "250-AUTH LOGIN PLAIN"},
			{'<', "MAIL FROM:<a@b.example> AUTH=<>", "MAIL FROM:<a@b.example> AUTH=<>"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Session
			for _, l := range tt.lines {
				if got := s.masked(l.event, l.in); got != l.shown {
					t.Errorf("%c%s is shown as %q, want %q", l.event, l.in, got, l.shown)
				}
			}
		})
	}
}

func TestStrangersLinesStayOneRow(t *testing.T) {
	got := record(t, ReceivePrefix, ReceiveType, SessionOptions{Connector: `a,"b"`, SessionID: "1", Local: "l", Remote: "r"}, func(s *Session) {
		s.Received("EHLO a\r\n2006-08-28T22:37:53.323Z,forged,\"row\x00")
	})
	_, rows, _ := strings.Cut(got, "#Fields: "+Fields+"\n")
	want := `2006-08-28T22:37:53.323Z,"a,""b""",1,0,l,r,<,"EHLO a  2006-08-28T22:37:53.323Z,forged,""row ",` + "\n"
	if rows != want {
		t.Errorf("got  %swant %s", rows, want)
	}
}

func TestNothingIsLogged(t *testing.T) {
	var l *Log
	s := l.Session(SessionOptions{Connector: "Inet"})
	s.Connected()
	s.Sent("220 x")
	s.Received("QUIT")
	s.Info("a", "b")
	s.Message(ContextReceiving)
	s.Certificate(LabelSending, edgeCertificate)
	s.Disconnected(ContextRemote)
	if s != nil {
		t.Error("a log that does not exist gave a session")
	}
}

func BenchmarkSession(b *testing.B) {
	l, err := Open(Options{Directory: b.TempDir(), Prefix: SendPrefix, Type: SendType})
	if err != nil {
		b.Fatal(err)
	}
	s := l.Session(SessionOptions{Connector: "Internet", SessionID: "08C895F533E837EC", Local: "192.168.0.2:1025", Remote: "192.168.0.1:25"})
	b.ReportAllocs()
	for b.Loop() {
		s.Sent("MAIL FROM:<user@woodgrove.com> SIZE=614")
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// TestLostRowsAreSaid takes the directory away, as a stand-in for a full disk:
// the session goes on, and the log says later how many rows it lacks.
func TestLostRowsAreSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "receive")
	l, err := Open(Options{Directory: dir, Prefix: ReceivePrefix, Type: ReceiveType, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s := l.Session(SessionOptions{Connector: "Inet", SessionID: "1", Local: "l", Remote: "r"})
	s.Connected()
	s.Sent("220 x")
	l.Flush()
	if l.Lost() != 2 {
		t.Errorf("Lost() = %d, want 2", l.Lost())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Received("QUIT")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "RECV20060828-1.log"))
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(b), "#Fields: "+Fields+"\n")
	want := "2006-08-28T22:37:53.323Z,,,,,,*,2,Rows lost\n2006-08-28T22:37:53.323Z,Inet,1,2,l,r,<,QUIT,\n"
	if rows != want {
		t.Errorf("got %q, want %q", rows, want)
	}
	if n := strings.Count(strings.SplitN(rows, "\n", 2)[0], ","); n != strings.Count(Fields, ",") {
		t.Errorf("the row of lost rows has %d values", n+1)
	}
}
