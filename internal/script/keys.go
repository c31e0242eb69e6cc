package script

import (
	"fmt"
	"slices"
	"strings"
)

// Tags reports whether there are keys that lie in the same slot of a Redis
// Cluster as resource, so that one script may use them beside it, whatever the
// topology is.
func Tags(resource string) bool {
	return hasTag(resource) || !strings.Contains(resource, "}")
}

// Line returns two such keys: of the line of those that wait for a resource, and of what
// reserves it for the next one. It is for a resource with Tags only.
func Line(resource string) (line, reservation string) {
	open, end := "{", "}"
	if hasTag(resource) {
		open, end = "", ""
	}
	both := open + resource + end + lineSuffix + open + resource + end + reservationSuffix
	n := len(open) + len(resource) + len(end) + len(lineSuffix)
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

// Channel returns the channel on which a Locker is told that it is next.
func Channel(locker any) string { return fmt.Sprint("redlock:", locker) }

// Looks begins the name of a Locker that looks by itself whether it is next. Its end may be of
// the program's choice.
const Looks = "~"

// Suffixes of the keys beside a resource.
const (
	lineSuffix        = ":redlock:line"
	reservationSuffix = ":redlock:next"
	counterSuffix     = ":redlock:token"
)

// Reserved reports whether a resource may be a key that is kept beside another one.
func Reserved(resource string) bool { return strings.Contains(resource, ":redlock:") }

// Clash returns two of some resources of which the second is a key that is kept beside
// the first: its counter, its line or the reservation. Both in one lock would spoil
// each other. The list is sorted.
func Clash(resources []string) (resource, key string, found bool) {
	if !slices.ContainsFunc(resources, Reserved) {
		return "", "", false
	}
	for _, resource := range resources {
		if !Tags(resource) {
			continue
		}
		line, reservation := Line(resource)
		for _, key := range []string{line, reservation, Counter(resource)} {
			if _, found := slices.BinarySearch(resources, key); found {
				return resource, key, true
			}
		}
	}
	return "", "", false
}

// hasTag reports whether resource has a hash tag: what is between its first {
// and the next } decides its slot, unless that is nothing.
func hasTag(resource string) bool {
	_, rest, found := strings.Cut(resource, "{")
	return found && strings.IndexByte(rest, '}') > 0
}
