//go:build linux

package role

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
)

// Pattern is the content of all transfers. It has no end, is random, so that nothing
// on the way can be right by chance, and depends on the seed alone.
func Pattern(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// PatternSum is the SHA-256 of the first size bytes of Pattern(seed), in hex.
func PatternSum(seed byte, size int64) string {
	hash := sha256.New()
	_, _ = io.CopyN(hash, Pattern(seed), size) // neither end can fail
	return hex.EncodeToString(hash.Sum(nil))
}

// Sum is the SHA-256 of data, in hex.
func Sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}
