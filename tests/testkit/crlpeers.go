package testkit

import (
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// StartOpenLDAP starts a slapd on a loopback address that holds one object, by
// its distinguished name below dc=contoso, with a CRL, and ends with the test. It
// returns host:port.
func StartOpenLDAP(t testing.TB, host, name string, crl []byte) string {
	t.Helper()
	RequirePrograms(t, "slapd", "slapadd")
	dir := peerDirectory(t, "slapd")
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	config, entries := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "entries.ldif")
	writeAll(t, config, strings.Join([]string{
		"include /etc/ldap/schema/core.schema", "pidfile " + filepath.Join(dir, "pid"),
		"database ldif", "suffix dc=contoso", "directory " + data, "access to * by * read", "",
	}, "\n"))
	writeAll(t, entries, strings.Join([]string{
		"dn: dc=contoso", "objectClass: dcObject", "objectClass: organization", "dc: contoso", "o: Contoso", "",
		"dn: cn=" + name + ",dc=contoso", "objectClass: cRLDistributionPoint", "cn: " + name,
		"certificateRevocationList;binary:: " + base64.StdEncoding.EncodeToString(crl), "",
	}, "\n"))
	if out, err := exec.Command("slapadd", "-f", config, "-l", entries).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	address := HostPort(host, FreePort(t, host))
	startForeground(t, address, filepath.Join(dir, "log"), "slapd", "-f", config, "-h", "ldap://"+address, "-d", "stats")
	return address
}

// StartTinyproxy starts a tinyproxy on a loopback address that ends with the
// test. It returns host:port and a function that returns its log.
func StartTinyproxy(t testing.TB, host string) (address string, log func() string) {
	t.Helper()
	RequirePrograms(t, "tinyproxy")
	dir := peerDirectory(t, "tinyproxy")
	port := FreePort(t, host)
	address = HostPort(host, port)
	config, logFile := filepath.Join(dir, "conf"), filepath.Join(dir, "log")
	writeAll(t, config, strings.Join([]string{
		"Listen " + host, "Port " + strconv.Itoa(port), "Timeout 20", "MaxClients 20", "LogLevel Connect", "Allow 127.0.0.0/8", "",
	}, "\n"))
	startForeground(t, address, logFile, "tinyproxy", "-d", "-c", config)
	return address, func() string {
		text, _ := os.ReadFile(logFile)
		return string(text)
	}
}

// startForeground starts a program that stays in the foreground, waits until it
// listens, and ends it with the test.
func startForeground(t testing.TB, address, logFile, program string, arguments ...string) {
	t.Helper()
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(logFile)
			t.Logf("log of %s:\n%s", program, text)
		}
	})
	Eventually(t, 30*time.Second, program+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended at its start", program)
		default:
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}
