package redsync

// The servers are started by the tests themselves.
func init() {
	sockets = func() (all []string) {
		for _, s := range servers {
			all = append(all, s.Socket())
		}
		return all
	}
}
