package suites

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	serverName = "redis-server"
	envServer  = "REDLOCK_SUITE_SERVER" // the path of the program that it stands in for
)

// TestMain runs the tests, or stands in for redis-server where it is called that.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == serverName {
		fmt.Fprintln(os.Stderr, standIn(os.Getenv(envServer)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// standIn becomes the server that the standard input configures, where redsync's tests look for
// redis-server. They have servers listen on any address, at ports of their own choice. The
// ports are those that connections get, too, and one that is taken would end all tests.
func standIn(program string) error {
	args := []string{program, "--bind", "127.0.0.1"}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if key == "port" {
			if !strings.HasPrefix(value, "5124") {
				value = "0" // only the last eight are asked at their ports, the others on their sockets
			} else if err := awaitPort(value); err != nil {
				return err
			}
		}
		args = append(args, "--"+key, value)
	}
	return syscall.Exec(program, args, os.Environ()) //nolint:gosec // the server of the tests
}

// awaitPort waits until a port is free, for two minutes at most. One that a connection had is
// not for a minute after that.
func awaitPort(port string) (err error) {
	for range 1200 {
		var l net.Listener
		if l, err = net.Listen("tcp4", "127.0.0.1:"+port); err == nil { //nolint:noctx // it does not wait
			return l.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
