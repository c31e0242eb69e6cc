//go:build linux

package linearize

import (
	"context"

	"github.com/b0401464/redlock"
)

func (j *job) write(context.Context, *redlock.Locker, *recorder) error { return nil }
