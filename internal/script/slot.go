package script

import "strings"

// Tag returns the part of a key that decides where it lies in a Redis Cluster or
// a Ring: its hash tag, or all of it.
func Tag(key string) string {
	if !hasTag(key) {
		return key
	}
	_, rest, _ := strings.Cut(key, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}

// Slots is how many slots the keys of a Redis Cluster are spread over.
const Slots = 16384

// Slot returns the slot of a Redis Cluster that a key lies in.
func Slot(key string) int {
	crc := uint16(0) // CRC-16/XMODEM
	for _, b := range []byte(Tag(key)) {
		crc ^= uint16(b) << 8
		for range 8 {
			high := crc&0x8000 != 0
			if crc <<= 1; high {
				crc ^= 0x1021
			}
		}
	}
	return int(crc % Slots)
}
