// Command redlock runs commands under locks that stand on a majority of Redis nodes, and
// shows who holds them. See README.md beside this file.
package main

import (
	"os"

	"github.com/b0401464/redlock/cmd/redlock/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
