// Command mailpact is a mail gateway for mutually authenticated TLS.
package main

import (
	"os"

	"mailpact/internal/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
