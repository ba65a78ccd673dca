package transcript_test

import (
	"path/filepath"
	"testing"

	"hyco-sidecar/test/transcript"
)

// TestEveryRecordingIsUnderstood: a line that is passed over would make a stand-in
// look more like its original than it is.
func TestEveryRecordingIsUnderstood(t *testing.T) {
	folders, err := filepath.Glob("testdata/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, folder := range folders {
		all, err := transcript.ReadAll(folder)
		if err != nil {
			t.Error(err)
		}
		for _, r := range all {
			if len(r.Sender) < 2 || r.Sender[0].Kind == transcript.Data {
				t.Errorf("%s: got %d events of the sender's leg", r.Name, len(r.Sender))
			}
		}
	}
}

func TestReadsBothForms(t *testing.T) {
	r, err := transcript.Read("testdata/azbridge/c1_client_half_close.txt")
	if err != nil {
		t.Fatal(err)
	}
	last := r.Sender[8]
	if last.Kind != transcript.Data || last.Near || last.Bytes != 1071 || string(last.First[:4]) != "b8a1" {
		t.Errorf("got %+v", last)
	}
	r, err = transcript.Read("testdata/hcm/c3-client-halfcloses-target-answers-and-closes.txt")
	if err != nil {
		t.Fatal(err)
	}
	answer, end := r.Listener[5], r.Listener[6]
	if answer.Kind != transcript.Data || answer.Near || answer.Bytes != 1000000 || answer.Largest != 16384 || end.Code != 1000 || end.Reason != "CloseAsync" {
		t.Errorf("got %+v, %+v", answer, end)
	}
}
