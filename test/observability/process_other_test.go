//go:build !linux

package observability

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
