module mailpact/tests/suites/bettertls

go 1.26.0

require (
	github.com/Netflix/bettertls v0.0.0-20250909192348-e1e99e353074
	mailpact v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/miekg/dns v1.1.73 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	software.sslmate.com/src/go-pkcs12 v0.7.4 // indirect
)

replace mailpact => ../../..
