package client

// deep is about how much of a stack a call of go-redis uses.
const deep = 5 << 10

// GrowStack makes the stack of a new goroutine as large as a node call needs it, while
// it is empty. Else it would be grown in the middle of the call, twice, and copied frame
// by frame: that is a twentieth of the processor time of a lock and its release.
//
//go:noinline
func GrowStack() {
	var room [deep]byte
	use(&room)
}

//go:noinline
func use(room *[deep]byte) { room[0] = 1 }
