package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// Fault is one thing that is wrong with the settings.
type Fault struct {
	Variable string // the variable to change
	Problem  string // what is wrong; never a secret's text
	Remedy   string // what to write instead
}

func (f *Fault) Error() string {
	return f.Variable + ": " + f.Problem + ": " + f.Remedy
}

// Faults returns the faults that an error of Load reports.
func Faults(err error) []*Fault {
	all, ok := errors.AsType[*multierror.Error](err)
	if !ok {
		return nil
	}
	var faults []*Fault
	for _, err := range all.Errors {
		if f, ok := errors.AsType[*Fault](err); ok {
			faults = append(faults, f)
		}
	}
	return faults
}

// Report returns one error for faults found outside this package. It prints as that
// of [Load] does, and is nil if all is empty.
func Report(all ...*Fault) error {
	var f faults
	for _, fault := range all {
		f.add(fault.Variable, fault.Remedy, "%s", fault.Problem)
	}
	return f.ErrorOrNil()
}

// report prints faults for a person, one line each.
func report(faults []error) string {
	var b strings.Builder
	if len(faults) == 1 {
		b.WriteString("one setting needs attention:")
	} else {
		fmt.Fprintf(&b, "%d settings need attention:", len(faults))
	}
	for _, f := range faults {
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}

// faults collects faults into one error.
type faults struct{ *multierror.Error }

func (f *faults) add(variable, remedy, problem string, args ...any) {
	if !variableName.MatchString(variable) {
		variable = strconv.Quote(variable)
	}
	f.Error = multierror.Append(f.Error, &Fault{
		Variable: variable,
		Problem:  fmt.Sprintf(problem, args...),
		Remedy:   remedy,
	})
	f.ErrorFormat = report
}

// variableName matches names that may be printed without quotes.
var variableName = regexp.MustCompile(`^[A-Z0-9_…]+$`)

// secretShape matches text that may contain a key or a token: people paste into the
// wrong variable.
var secretShape = regexp.MustCompile(`(?i)shared\s*access|sig=|[A-Za-z0-9+/%_-]{40,}`)

// show returns value as a fault may show it: quoted, of at most 80 bytes, and not at
// all where it may be a secret.
func show(value string) string {
	if secretShape.MatchString(value) {
		return "the value (not shown, it may be a secret)"
	}
	const limit = 80
	if len(value) > limit {
		value = strings.ToValidUTF8(value[:limit], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
