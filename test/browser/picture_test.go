package browser_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
)

// readmePicture is what README.md shows.
const readmePicture = "../../docs/images/status.png"

// keep writes a picture of the whole page to the test's artifacts.
func (p *tab) keep(name string) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(p.ArtifactDir(), name+".png"), p.picture(), 0o644); err != nil {
		p.Fatal(err)
	}
}

// picture is the whole page as PNG.
func (p *tab) picture() []byte {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	raw, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.Fatal(err)
	}
	return raw
}

// TestThePictureOfTheReadme takes it anew with -update.
func TestThePictureOfTheReadme(t *testing.T) {
	if !*update {
		raw, err := os.ReadFile(readmePicture)
		if err != nil {
			t.Fatal(err)
		}
		config, err := png.DecodeConfig(bytes.NewReader(raw))
		if err != nil || config.Width != 1280 || len(raw) > 150_000 {
			t.Errorf("%s: %d bytes, %d px wide, %v; want 150,000 and 1280 at most", readmePicture, len(raw), config.Width, err)
		}
		return
	}
	status := office()
	status.Endpoints = []admin.Endpoint{status.Endpoints[0], status.Endpoints[1], status.Endpoints[4]}
	p := open(t, newFake(t, status).URL, 1280)
	p.awaitText("Running since")
	// Down to the endpoints: the picture is to be looked at, not read.
	p.run(`document.querySelector(".pair").hidden = true; document.body.style.paddingBottom = "1.5rem"`)
	p.do(chromedp.EmulateViewport(1280, value[int64](p, "Math.ceil(document.body.getBoundingClientRect().bottom)")))
	raw, err := reduce(p.picture())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(readmePicture), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(readmePicture, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", readmePicture, len(raw))
}

// reduce makes a PNG smaller by taking its 256 commonest colours alone, which
// are nearly all that a page without photographs has.
func reduce(raw []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	bounds := full.Bounds()
	seen := make(map[color.Color]int)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			seen[full.At(x, y)]++
		}
	}
	palette := slices.SortedFunc(maps.Keys(seen), func(a, b color.Color) int { return cmp.Compare(seen[b], seen[a]) })
	small := image.NewPaletted(bounds, palette[:min(256, len(palette))])
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, small); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return out.Bytes(), nil
}
