// Package secrets watches the files that secrets are read from.
package secrets

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a folder has to be quiet: a file is written in pieces.
	settle = 100 * time.Millisecond
	// settled is how long that may take at most, in a folder that is never quiet.
	settled = time.Second
	// poll is how often to look in any case: not every file system tells of
	// changes, and a folder that is put in another's place is not seen.
	poll = 30 * time.Second
)

// Watch calls look when one of files may have changed, until ctx ends. It watches
// their folders, since Kubernetes exchanges a symbolic link beside the files, and
// looks every 30 s besides. Look reports whether to look again in a moment, as for
// a file that may be half written; it is never called twice at the same time.
func Watch(ctx context.Context, files []string, look func() (again bool)) {
	var events chan fsnotify.Event
	var lost chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil { // else the kernel has no more of them: polling has to do
		defer watcher.Close()
		events, lost = watcher.Events, watcher.Errors // which it stops at until it is read
	}
	watch := func() {
		for _, file := range files {
			if watcher != nil {
				_ = watcher.Add(filepath.Dir(file)) // again does no harm; a folder that is absent may come
			}
		}
	}
	watch()

	regular := time.NewTimer(poll)
	defer regular.Stop()
	quiet := time.NewTimer(0)
	<-quiet.C
	defer quiet.Stop()
	var since time.Time // of what is still to be looked at
	examine := func() {
		since = time.Time{}
		if look() {
			quiet.Reset(settle)
		}
	}
	examine() // whatever changed before that
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			switch {
			case !ok:
				events = nil
			case since.IsZero():
				since = time.Now()
				quiet.Reset(settle)
			case time.Since(since) < settled:
				quiet.Reset(settle)
			}
		case _, ok := <-lost: // events, most likely
			if !ok {
				lost = nil
				continue
			}
			examine()
		case <-quiet.C:
			examine()
		case <-regular.C:
			watch()
			examine()
			regular.Reset(poll)
		}
	}
}
