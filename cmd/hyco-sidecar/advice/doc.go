// Package advice says what to do about what went wrong, and where the
// documentation explains it.
//
// The parts of the program report facts: an error, a stable label, a line of the
// log. What an operator should do next is said here, once, whoever shows it: the
// log, the status page, check, or a command that fails.
package advice
