package main

// panicked is guarded for parts that recover panics on their goroutines themselves,
// and hand over what they have recovered.
func panicked(guarded func(f func()) func()) func(value any, stack []byte) {
	return func(value any, _ []byte) { guarded(func() { panic(value) })() }
}
