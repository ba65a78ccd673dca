// Package browser_test shows the status page to those it is for: people with a
// browser, some of whom listen to it. Chromium looks at the page of package
// admin, first with made-up states, then with a real sidecar's.
//
// It is a module of its own, so that what drives a browser is no dependency of
// the sidecar.
package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write the pictures of the documentation")

// browser is the context of Chromium, whose children are its tabs; nil where
// unable says why there is none.
var (
	browser context.Context
	unable  string
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withBrowser(m.Run))
}

func withBrowser(run func() int) int {
	path, err := exec.LookPath("chromium")
	if err != nil {
		unable = "chromium"
		return run()
	}
	if _, err := os.Stat(axeFile); err != nil {
		unable = axeFile
		return run()
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		// Chromium itself is to ask nobody: neither for updates nor for names.
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.*"),
		chromedp.Flag("lang", "en-GB"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, _ := chromedp.NewContext(allocator)
	defer chromedp.Cancel(ctx) // it waits for the browser's end, as its plain cancel does not
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "browser: start", path+":", err)
		return 1
	}
	browser = ctx
	return run()
}

// needsBrowser ends the test where there is no browser, or nothing to check
// accessibility with.
func needsBrowser(t *testing.T) {
	t.Helper()
	switch {
	case unable == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("this machine lacks %s, and CI must run every test", unable)
	default:
		t.Skipf("this machine lacks %s; .ci/install-tools installs it", unable)
	}
}
