package plan

import "runtime/debug"

// Version is what the build says about itself: the module's version, or else the
// first twelve digits of the revision, with "-modified" where the tree was, or else
// "development"; "unknown" for a build without such information.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if revision == "" {
		return "development"
	}
	return revision + modified
}

// UserAgent is what the program calls itself to relays.
func UserAgent() string { return "hyco-sidecar/" + Version() }
