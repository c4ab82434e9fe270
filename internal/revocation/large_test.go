package revocation

import (
	"bufio"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// largeSerial is the i-th serial number of a large CRL, 16 octets by chance.
func largeSerial(i int) []byte {
	var b [16]byte
	r := mathrand.New(mathrand.NewPCG(uint64(i), 1))
	binary.BigEndian.PutUint64(b[:], r.Uint64()>>1|1<<62)
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return b[:]
}

// large writes a CRL of so many entries to a file, each of them with a reason.
func (a *ca) large(path string, entries int) string {
	a.t.Helper()
	element := []byte("\x30\x2f\x02\x10................\x17\x0d261123110000Z" + onlyReason + "\x01")
	element[1] = byte(len(element) - 2)
	list := make([]byte, 0, entries*len(element))
	for i := range entries {
		copy(element[4:], largeSerial(i))
		list = append(list, element...)
	}
	frame := must(x509.ParseRevocationList(a.crl()))
	whole := cryptobyte.String(frame.RawTBSRevocationList)
	var tbs cryptobyte.String
	whole.ReadASN1(&tbs, asn1.SEQUENCE)
	rest := tbs
	for range 3 { // version, algorithm, issuer
		rest.ReadAnyASN1(new(cryptobyte.String), new(asn1.Tag))
	}
	for range 2 {
		rest.ReadAnyASN1(new(cryptobyte.String), new(asn1.Tag))
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs[:len(tbs)-len(rest)])
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(list) })
		b.AddBytes(rest)
	})
	signed := must(b.Bytes())
	sum := hashOf(x509.ECDSAWithSHA256).New()
	sum.Write(signed)
	signature := must(a.key.Sign(rand.Reader, sum.Sum(nil), hashOf(x509.ECDSAWithSHA256)))
	var outer cryptobyte.Builder
	outer.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier([]int{1, 2, 840, 10045, 4, 3, 2}) })
		b.AddASN1BitString(signature)
	})
	if err := os.WriteFile(path, must(outer.Bytes()), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// opened reads a large CRL from its file.
func opened(t testing.TB, path string) *List {
	t.Helper()
	file := must(os.Open(path))
	defer file.Close()
	l, err := openList("large.crl", file, path+indexSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLargeList: a CRL that stays in its file, with its index beside it, answers
// as the one in memory does, verifies, and takes little memory.
func TestLargeList(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	const entries = 200_000
	path := authority.large(filepath.Join(t.TempDir(), "large.crl"), entries)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := opened(t, path)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d octets were allocated", n)
	}
	if err := l.verify(authority.certificate); err != nil {
		t.Error(err)
	}
	if l.Entries() != entries || l.revoked.crl.memory != nil || l.revoked.octets() > 1000 {
		t.Fatalf("%d entries, %d octets in memory", l.Entries(), l.revoked.octets())
	}
	inMemory := must(ParseList("m", must(os.ReadFile(path))))
	for i := range 3 * entries / 100 {
		serial := new(big.Int).SetBytes(largeSerial(50 * i))
		for _, x := range []*List{l, inMemory} {
			e, found, err := x.revoked.lookup(x.issuerName, serial)
			if err != nil || found != (50*i < entries) || found && (e.reason != KeyCompromise || !e.at.Equal(start.Add(-time.Hour))) {
				t.Fatalf("%d: %+v, %v, %v", i, e, found, err)
			}
		}
	}
	// Somebody cuts the CRL: that is an error and not "not found".
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, found, err := l.revoked.lookup(l.issuerName, new(big.Int).SetBytes(largeSerial(entries-1))); err == nil {
		t.Errorf("found %v in a file that was cut", found)
	}
}

// TestLargeListIsKept: the Checker keeps it beside its index and reads it again.
func TestLargeListIsKept(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	body := must(os.ReadFile(authority.large(filepath.Join(t.TempDir(), "l"), 20_000)))
	server := newServer(t, body)
	directory := t.TempDir()
	for range 2 {
		checker := open(t, newClock(), func(o *Options) { o.Directory = directory })
		leaf := authority.issueWith(&x509.Certificate{SerialNumber: new(big.Int).SetBytes(largeSerial(77)), CRLDistributionPoints: []string{server.address()}}, nil)
		if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); !strings.Contains(got.Detail, "keyCompromise") {
			t.Errorf("%+v", got)
		}
		checker.Stop()
		files, _ := filepath.Glob(filepath.Join(directory, "*"))
		if len(files) != 3 || !strings.HasSuffix(files[1], indexSuffix) {
			t.Errorf("%v", files)
		}
	}
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// memory reads a field of smaps_rollup, octets.
func memory(t testing.TB, fields ...string) (sum int64) {
	file, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip("the kernel does not tell: ", err)
	}
	defer file.Close()
	for s := bufio.NewScanner(file); s.Scan(); {
		for _, f := range fields {
			if words := strings.Fields(s.Text()); words[0] == f+":" {
				sum += int64(must(strconv.Atoi(words[1]))) << 10
			}
		}
	}
	return sum
}

// measuredRoom tells how much memory is in use when the index is made.
type measuredRoom struct {
	fileRoom
	b            *testing.B
	before, most int64
}

func (r *measuredRoom) allocate(n int) ([]byte, error) {
	r.most = memory(r.b, "Anonymous") - r.before
	return r.fileRoom.allocate(n)
}

// BenchmarkMillion reads CRLs of 1,000,000 entries. "open" is all of it: reading,
// hashing, the index, the signature. Private memory is that of the process after
// less before; mapped pages of the index count as private where no other process
// has them. "building" is the anonymous memory more than before when all entries
// are read and the tables are about to be made.
func BenchmarkMillion(b *testing.B) {
	authority := newCA(&testing.T{}, "Contoso Root")
	path := authority.large(filepath.Join(b.TempDir(), "large.crl"), 1_000_000)
	held := path + ".held" // an index of its own
	if err := os.Link(path, held); err != nil {
		b.Fatal(err)
	}
	l := opened(b, held)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if err := opened(b, path).verify(authority.certificate); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, from := range map[string]int{"hit": 0, "miss": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			serials := make([][]byte, 100_000)
			for i := range serials {
				serials[i] = largeSerial(from + 10*i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, found, err := l.revoked.find(l.issuerName, serials[i%len(serials)]); found != (from == 0) || err != nil {
					b.Fatal(found, err)
				}
				i++
			}
		})
	}
	b.Run("building", func(b *testing.B) {
		for b.Loop() {
			debug.FreeOSMemory()
			r := &measuredRoom{fileRoom: fileRoom{crl: must(os.Open(path)), path: path + ".measured"}, before: memory(b, "Anonymous"), b: b}
			must(readList("large.crl", r.crl, r))
			b.ReportMetric(float64(r.most)/1e6, "MB-anonymous")
			if err := r.close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory", func(b *testing.B) {
		debug.FreeOSMemory()
		before := memory(b, "Private_Clean", "Private_Dirty")
		var lists []*List
		for b.Loop() {
			lists = lists[:0]
			for i := range 100 {
				target := filepath.Join(b.TempDir(), fmt.Sprint(i))
				if err := os.Link(path, target); err != nil {
					b.Fatal(err)
				}
				lists = append(lists, opened(b, target))
				for j := range 1000 {
					if _, _, err := lists[i].revoked.find(l.issuerName, largeSerial(997*j+i)); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		debug.FreeOSMemory()
		b.ReportMetric(float64(memory(b, "Pss"))/1e6, "MB-PSS")
		b.ReportMetric(float64(memory(b, "Private_Clean", "Private_Dirty")-before)/1e6, "MB-private")
		b.ReportMetric(float64(memory(b, "Anonymous"))/1e6, "MB-anonymous")
		runtime.KeepAlive(lists)
	})
}
