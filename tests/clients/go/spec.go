package main

import (
	"fmt"
	"strconv"
)

// The test message number i of a prefix, the same in every language (see ../README.md).

func specTag(i int) string { return fmt.Sprintf("tag-%d", i%3) }

func specKeys(prefix string, i int) []string {
	return []string{fmt.Sprintf("%s-%d", prefix, i), fmt.Sprintf("group-of-seven-%d", i/7)}
}

func specProperties(prefix string, i int) map[string]string {
	return map[string]string{
		"prefix": prefix,
		"index":  strconv.Itoa(i),
		"text":   fmt.Sprintf("Grüße von %s, 世界 🌊 %d", prefix, i),
	}
}

func specBody(prefix string, i int) []byte {
	x := uint32(2166136261)
	for _, b := range []byte(fmt.Sprintf("%s/%d", prefix, i)) {
		x = (x ^ uint32(b)) * 16777619
	}
	limit := uint32(1024)
	if i%8 == 0 {
		limit = 20480
	}
	size := 1 + x%limit
	if i%100 == 1 {
		size = 1
	}
	out := make([]byte, size)
	for k := range out {
		x = x*1664525 + 1013904223
		out[k] = byte(x >> 24)
	}
	return out
}
