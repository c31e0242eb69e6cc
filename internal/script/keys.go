package script

import "strings"

// Tags reports whether there are keys that lie in the same slot of a Redis
// Cluster as resource, so that one script may use them beside it, whatever the
// topology is.
func Tags(resource string) bool {
	return hasTag(resource) || !strings.Contains(resource, "}")
}

// Beside returns two such keys. It is for a resource with Tags only.
func Beside(resource, first, second string) (a, b string) {
	open, end := "{", "}"
	if hasTag(resource) {
		open, end = "", ""
	}
	both := open + resource + end + first + open + resource + end + second
	n := len(open) + len(resource) + len(end) + len(first)
	return both[:n], both[n:]
}

// Counter returns the key of the counter of a resource's fencing tokens, another
// such key.
func Counter(resource string) string {
	if hasTag(resource) {
		return resource + counterSuffix
	}
	return "{" + resource + "}" + counterSuffix
}

const counterSuffix = ":redlock:token"

// Reserved reports whether a resource may be a key that is kept beside another one.
func Reserved(resource string) bool { return strings.Contains(resource, ":redlock:") }

// hasTag reports whether resource has a hash tag: what is between its first {
// and the next } decides its slot, unless that is nothing.
func hasTag(resource string) bool {
	_, rest, found := strings.Cut(resource, "{")
	return found && strings.IndexByte(rest, '}') > 0
}
