//go:build unix && !linux

package run

import (
	"os"
	"syscall"
)

// Elsewhere there is the process group alone, and nothing dies with its parent.

func adopt() {}

func dieWithParent(*syscall.SysProcAttr) {}

func self() (string, error) { return os.Executable() }

func descendants() []process { return nil }
