//go:build linux

package role

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// playArrivals is apps that come at fifty per second to ADDRESS, each to send a byte
// and take it back, until a line on stdin says that it is enough. After every
// fifty it prints how many have come, and at the end to which ends.
func playArrivals(args []string) error {
	enough := make(chan struct{})
	go func() {
		defer close(enough)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}()
	c := crowd{ends: make(map[string]int)}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var apps sync.WaitGroup
	for n := 1; ; n++ {
		apps.Go(func() { c.note(c.one(args[0], c.echo)) })
		if n%50 == 0 {
			fmt.Printf("%d came\n", n)
		}
		select {
		case <-tick.C:
			continue
		case <-enough:
		}
		apps.Wait()
		fmt.Println("ends:", c.ends)
		return errors.Join(c.errs...)
	}
}
