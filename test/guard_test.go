package test_test

import (
	"go/ast"
	"slices"
	"testing"
)

// guarded are the packages whose goroutines live as long as the sidecar. A panic
// in one would kill a part of it, or make many lines and the wrong exit code.
var guarded = []string{"forwarder", "relayclient", "dnsproxy", "cmd/hyco-sidecar",
	"cmd/hyco-sidecar/sidecar", "cmd/hyco-sidecar/discovery", "cmd/hyco-sidecar/preflight", "cmd/hyco-sidecar/admin", "cmd/hyco-sidecar/identity"}

// TestEveryGoroutineBeginsWithAGuard: what runs on a goroutine of its own is wrapped by
// guarded, or a function literal whose first statement is a deferred raise or a call
// of what guarded has wrapped.
func TestEveryGoroutineBeginsWithAGuard(t *testing.T) {
	found := make(map[string]int)
	for _, s := range sources(t) {
		if s.test || !slices.Contains(guarded, s.dir) || s.path == "cmd/hyco-sidecar/logging/guard.go" { // where guards end
			continue
		}
		check := func(f ast.Expr) {
			found[s.dir]++
			if lit, ok := f.(*ast.FuncLit); ok && (beginsWithRaise(lit.Body) || beginsGuarded(lit.Body)) || isGuarded(f) {
				return
			}
			t.Errorf("%s starts a goroutine that is neither guarded(…) nor begins with `defer ….raise()`", s.path)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				check(n.Call.Fun) // go s.guarded(f)()
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Go" || sel.Sel.Name == "AfterFunc") {
					check(n.Args[len(n.Args)-1])
				}
			}
			return true
		})
	}
	for _, dir := range guarded {
		if found[dir] == 0 {
			t.Errorf("%s has no goroutine: this test looks in the wrong place", dir)
		}
	}
}

func beginsWithRaise(body *ast.BlockStmt) bool {
	if len(body.List) == 0 {
		return false
	}
	d, ok := body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	sel, ok := d.Call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "raise"
}

// beginsGuarded reports whether a function does nothing before it calls guarded(f)(),
// as one that has to return an error.
func beginsGuarded(body *ast.BlockStmt) bool {
	if len(body.List) == 0 {
		return false
	}
	s, ok := body.List[0].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := s.X.(*ast.CallExpr)
	return ok && isGuarded(call.Fun)
}

// isGuarded reports whether f is the result of a call of guarded, the owner's hook.
func isGuarded(f ast.Expr) bool {
	call, ok := f.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == "guarded"
	case *ast.SelectorExpr:
		return f.Sel.Name == "guarded"
	}
	return false
}
