package run

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Find returns the file of a command as a shell finds it. The kind is NotFound or CannotRun
// if there is an error.
func Find(name string) (path string, kind Kind, err error) {
	if runtime.GOOS == "windows" || filepath.Base(name) != name {
		path, err = exec.LookPath(name)
		return path, kindOf(err), reason(err)
	}
	err = exec.ErrNotFound
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path = filepath.Join(dir, name)
		if !strings.ContainsRune(path, os.PathSeparator) {
			path = "." + string(os.PathSeparator) + path
		}
		switch path, e := exec.LookPath(path); {
		case e == nil:
			return path, Done, nil
		case !errors.Is(e, fs.ErrNotExist):
			err = e // unless there is another one
		}
	}
	return "", kindOf(err), reason(err)
}

func kindOf(err error) Kind {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return NotFound
	default:
		return CannotRun
	}
}

// reason returns why, without the name of the command.
func reason(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
