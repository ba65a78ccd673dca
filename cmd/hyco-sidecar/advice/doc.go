// Package advice says what an operator should do about a failure, and where the
// documentation explains it.
//
// The parts of the program report facts: an error, a stable label, a line of the
// log. What to do next is in one table here, by label and by line, and whoever
// shows a failure reads it: the log, the status page, check, and commands that
// fail. Where a step depends on the facts of an error, the table has a function of
// the error instead of a text.
//
// A next step is half a sentence without a full stop, which begins with what to do.
package advice
