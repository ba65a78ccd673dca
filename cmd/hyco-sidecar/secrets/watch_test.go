package secrets_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/secrets"
)

// mounted is a file as Kubernetes mounts a Secret, and a way to change it.
func mounted(t *testing.T) (file string, change func(text string)) {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	version := 0
	change = func(text string) {
		version++
		data := filepath.Join(dir, "..data")
		next, link := filepath.Join(dir, "..version"+string(rune('a'+version))), filepath.Join(dir, "..data_tmp")
		must(os.Mkdir(next, 0o755))
		must(os.WriteFile(filepath.Join(next, "key"), []byte(text), 0o600))
		old, _ := os.Readlink(data)
		must(os.Symlink(filepath.Base(next), link))
		must(os.Rename(link, data))
		if old != "" {
			must(os.RemoveAll(filepath.Join(dir, old)))
		}
	}
	change("first")
	must(os.Symlink("..data/key", filepath.Join(dir, "key")))
	return filepath.Join(dir, "key"), change
}

func TestChangesAreSeen(t *testing.T) {
	swapped, swap := mounted(t)
	plain := filepath.Join(t.TempDir(), "plain")
	write := func(text string) {
		if err := os.WriteFile(plain, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	replace := func(text string) {
		next := plain + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, plain); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan [2]string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		secrets.Watch(ctx, []string{swapped, plain}, func() bool {
			a, _ := os.ReadFile(swapped)
			b, _ := os.ReadFile(plain)
			seen <- [2]string{string(a), string(b)}
			return false
		})
	}()
	await := func(want [2]string) {
		t.Helper()
		deadline := time.After(10 * time.Second) // a third of what polling alone takes
		for {
			select {
			case got := <-seen:
				if got == want {
					return
				}
			case <-deadline:
				t.Fatalf("%v was not seen", want)
			}
		}
	}
	await([2]string{"first", "first"})
	swap("second")
	await([2]string{"second", "first"})
	write("second")
	await([2]string{"second", "second"})
	swap("third")
	await([2]string{"third", "second"})
	replace("third")
	await([2]string{"third", "third"})
	cancel()
	<-ended
}

func TestWhatIsInDoubtIsLookedAtAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a third of what polling alone takes
	defer cancel()
	looks := 0
	secrets.Watch(ctx, []string{filepath.Join(t.TempDir(), "file")}, func() bool {
		if looks++; looks == 3 {
			cancel()
		}
		return looks < 3
	})
	if looks != 3 {
		t.Errorf("looked %d times", looks)
	}
}

func TestFolderThatIsAbsentIsNoMatter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	secrets.Watch(ctx, []string{filepath.Join(t.TempDir(), "no", "file")}, func() bool {
		looks++
		cancel()
		return false
	})
	if looks != 1 {
		t.Errorf("looked %d times", looks)
	}
}
