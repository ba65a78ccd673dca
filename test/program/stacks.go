package program

import "strings"

// Stacks finds what a Go program prints at SIGQUIT in its stderr: a stack for each
// goroutine. ok is false when there is none. Goroutine 0, a thread's scheduler, is
// left out.
func Stacks(stderr string) (stacks []string, ok bool) {
	_, dump, ok := strings.Cut(stderr, "SIGQUIT: quit")
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && !strings.HasPrefix(stack, "goroutine 0 ") {
			stacks = append(stacks, stack)
		}
	}
	return stacks, ok
}
