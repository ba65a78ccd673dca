package logging

// Panicked is guarded for parts that recover panics on their goroutines themselves,
// and hand over what they have recovered.
func Panicked(guarded func(f func()) func()) func(value any, stack []byte) {
	if guarded == nil {
		return nil
	}
	return func(value any, _ []byte) { guarded(func() { panic(value) })() }
}
