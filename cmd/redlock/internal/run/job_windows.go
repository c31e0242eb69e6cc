package run

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// A jobObject holds the command and all that it starts. They end when its handle is closed,
// as it is when this process ends.
type jobObject struct{ handle windows.Handle }

func newJobObject() (*jobObject, error) {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	j := &jobObject{h}
	return j, j.endWithUs(true)
}

// endWithUs sets whether what is in it ends with this process.
func (j *jobObject) endWithUs(on bool) error {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if on {
		info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	}
	_, err := windows.SetInformationJobObject(j.handle, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))) //nolint:gosec // as the system wants it
	return err
}

// add puts a process there that has just been started. What it may have started before that
// is not in it.
func (j *jobObject) add(pid int) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid)) //nolint:gosec // not negative
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	return windows.AssignProcessToJobObject(j.handle, h)
}

// kill ends all that is in it.
func (j *jobObject) kill() { _ = windows.TerminateJobObject(j.handle, 1) }

// release lets what the command has left behind go on.
func (j *jobObject) release() { _ = j.endWithUs(false) }
