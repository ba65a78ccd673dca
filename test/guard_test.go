package test_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// guardHome is where recovery stands, and where guards end.
const guardHome = "cmd/hyco-sidecar/logging/guard.go"

// TestEveryGoroutineBeginsWithAGuard: what runs on a goroutine of its own, or of the
// standard library's, goes through the owner's hook. A panic elsewhere would kill a
// part of the sidecar, or make many lines and the wrong exit code.
func TestEveryGoroutineBeginsWithAGuard(t *testing.T) {
	found := make(map[string]int)
	for _, s := range program(t) {
		if s.dir == "config" || s.path == guardHome { // config starts none
			continue
		}
		starts, wrong := goroutines(s.file)
		found[s.dir] += starts
		for _, w := range wrong {
			t.Errorf("%s: %s", s.path, w)
		}
	}
	for _, dir := range []string{"forwarder", "relayclient", "dnsproxy", "cmd/hyco-sidecar/admin", "cmd/hyco-sidecar/check", "cmd/hyco-sidecar/identity",
		"cmd/hyco-sidecar/sidecar", "cmd/hyco-sidecar/discovery", "cmd/hyco-sidecar/preflight"} {
		if found[dir] == 0 {
			t.Errorf("%s has no goroutine: this test looks in the wrong place", dir)
		}
	}
}

// TestRecoveryStandsOnce: whoever recovers a panic elsewhere hides it.
func TestRecoveryStandsOnce(t *testing.T) {
	for _, s := range program(t) {
		if s.path == guardHome {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isIdent(call.Fun, "recover") {
				t.Errorf("%s recovers: only %s may", s.path, guardHome)
			}
			return true
		})
	}
}

// TestNoGoroutineEscapesTheTest holds goroutines to examples.
func TestNoGoroutineEscapesTheTest(t *testing.T) {
	for _, test := range []struct {
		code   string
		starts int
		wrong  int
	}{
		{"go s.guarded(f)()", 1, 0},
		{"go guarded(s.guard, f)()", 1, 0},
		{"wg.Go(s.guarded(func() {}))", 1, 0},
		{"time.AfterFunc(time.Second, s.guarded(f))", 1, 0},
		{"context.AfterFunc(ctx, s.m.guarded(f))", 1, 0},
		{"_ = &http.Server{Handler: s.guarded(h)}", 1, 0},
		{"s.guarded(f)()", 0, 0},
		{"go f()", 1, 1},
		{"go s.run(ctx)", 1, 1},
		{"go func() { f() }()", 1, 1},
		{"go func() { s.guarded(f)() }()", 1, 1},
		{"go s.guarded(f)", 1, 1},
		{"wg.Go(f)", 1, 1},
		{"group.Go(func() error { s.guarded(f)(); return nil })", 1, 0},
		{"group.Go(func() error { return nil })", 1, 1},
		{"group.Go(func() error { f(); s.guarded(f)(); return nil })", 1, 1},
		{"group.Go(func() error { s.guarded(f)(); return f() })", 1, 1},
		{"group.TryGo(func() error { return nil })", 1, 1},
		{"time.AfterFunc(time.Second, f)", 1, 1},
		{"context.AfterFunc(ctx, func() {})", 1, 1},
		{"start := wg.Go", 1, 1},
		{"_ = &http.Server{Handler: mux}", 1, 1},
		{"_ = http.Server{Addr: addr}", 1, 1},
		{"http.Serve(ln, s.guarded(h))", 1, 1},
		{"http.ListenAndServe(addr, mux)", 1, 1},
		{"go func() { defer s.guard.raise(); f() }()", 1, 1},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {\n"+test.code+"\n}", 0)
		if err != nil {
			t.Fatalf("%s: %v", test.code, err)
		}
		if starts, wrong := goroutines(file); starts != test.starts || len(wrong) != test.wrong {
			t.Errorf("%s: got %d, %q, want %d and %d wrong", test.code, starts, wrong, test.starts, test.wrong)
		}
	}
	for code, wrong := range map[string]int{
		"func (s *Server) guarded(f func()) func() { if s.Guard == nil { return f }; return s.Guard(f) }": 0,
		"func (s *Server) guarded(h http.Handler) http.Handler { return serve(s.m.guarded(f)) }":          0,
		"func (s *Server) guarded(f func()) func() { return f }":                                          1,
		"func (c collector) Collect(ch chan<- prometheus.Metric) { c.guarded(f)() }":                      0,
		"func (c collector) Collect(ch chan<- prometheus.Metric) { c.put(ch); c.guarded(f)() }":           1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+code, 0)
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if _, got := goroutines(file); len(got) != wrong {
			t.Errorf("%s: got %q, want %d", code, got, wrong)
		}
	}
}

// goroutines counts the places of a file that start a goroutine, or hand a function
// to one of a library's, and says which do not begin with a call of guarded.
func goroutines(file *ast.File) (starts int, wrong []string) {
	begins := func(what string, f ast.Expr) {
		starts++
		if !isGuarded(f) && !isGuardedTask(f) {
			wrong = append(wrong, what+" is not given guarded(…)")
		}
	}
	called := make(map[*ast.SelectorExpr]bool) // selectors of calls, which are met first
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			begins("go", n.Call.Fun) // go s.guarded(f)()
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			switch {
			case !ok:
			case isStart(sel.Sel.Name) && len(n.Args) > 0:
				called[sel] = true
				begins(sel.Sel.Name, n.Args[len(n.Args)-1])
			case isIdent(sel.X, "http") && (strings.HasPrefix(sel.Sel.Name, "Serve") || strings.HasPrefix(sel.Sel.Name, "ListenAndServe")) && len(n.Args) > 1:
				begins("http."+sel.Sel.Name, nil)
			}
		case *ast.SelectorExpr:
			if isStart(n.Sel.Name) && !called[n] {
				begins(n.Sel.Name+", which is not called here,", nil)
			}
		case *ast.CompositeLit:
			if sel, ok := n.Type.(*ast.SelectorExpr); ok && isIdent(sel.X, "http") && sel.Sel.Name == "Server" {
				begins("http.Server", handlerOf(n))
			}
		case *ast.FuncDecl:
			switch {
			case n.Body == nil:
			case n.Name.Name == "guarded" && !handsOn(n.Body):
				wrong = append(wrong, "guarded does not call the owner's guard")
			case n.Name.Name == "Collect" && n.Recv != nil && !beginsGuarded(n.Body):
				wrong = append(wrong, "Collect, which runs on a goroutine of the registry's, is not one call of guarded(…)")
			}
		}
		return true
	})
	return starts, wrong
}

// isStart tells the functions and methods that run their last argument on a
// goroutine: those of errgroup, sync, time and context.
func isStart(name string) bool { return slices.Contains([]string{"Go", "TryGo", "AfterFunc"}, name) }

// handlerOf is the value of the field Handler, nil where there is none.
func handlerOf(server *ast.CompositeLit) ast.Expr {
	for _, e := range server.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && isIdent(kv.Key, "Handler") {
			return kv.Value
		}
	}
	return nil
}

// isGuarded reports whether f is the result of a call of guarded, the owner's hook.
func isGuarded(f ast.Expr) bool {
	call, ok := f.(*ast.CallExpr)
	return ok && calls(call, "guarded")
}

// isGuardedTask reports whether f is a function literal that calls what guarded returns
// and then returns nil: errgroup takes functions that return an error.
func isGuardedTask(f ast.Expr) bool {
	lit, ok := f.(*ast.FuncLit)
	if !ok || len(lit.Body.List) != 2 || !isGuardedCall(lit.Body.List[0]) {
		return false
	}
	ret, ok := lit.Body.List[1].(*ast.ReturnStmt)
	return ok && len(ret.Results) == 1 && isIdent(ret.Results[0], "nil")
}

// calls reports whether call is one of a function or method of that name.
func calls(call *ast.CallExpr, name string) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == name
	case *ast.SelectorExpr:
		return f.Sel.Name == name
	}
	return false
}

// handsOn reports whether the body of guarded calls the guard that it was given, or
// another guarded.
func handsOn(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && (calls(call, "guard") || calls(call, "Guard") || calls(call, "guarded")) {
			found = true
		}
		return true
	})
	return found
}

// beginsGuarded reports whether a body is one call of what guarded returns.
func beginsGuarded(body *ast.BlockStmt) bool {
	return len(body.List) == 1 && isGuardedCall(body.List[0])
}

// isGuardedCall reports whether a statement is a call of what guarded returns.
func isGuardedCall(s ast.Stmt) bool {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := e.X.(*ast.CallExpr)
	return ok && isGuarded(call.Fun)
}
