package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"hyco-sidecar/test/fakerelay"
)

// rule is one -rule: of an entity, or, without one, of the namespace.
type rule struct {
	fakerelay.Rule
	entity string
}

// name is NAME or NAME@ENTITY, as it was given.
func (r rule) name() string {
	if r.entity == "" {
		return r.Name
	}
	return r.Name + "@" + r.entity
}

var (
	ruleName = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,256}$`)
	rights   = map[string]fakerelay.Rule{
		"listen": {Listen: true},
		"send":   {Send: true},
		"manage": {Listen: true, Send: true},
	}
)

// parseRule reads NAME[@ENTITY]=RIGHT[+RIGHT][:KEY].
func parseRule(text string) (rule, error) {
	left, right, ok := strings.Cut(text, "=")
	if !ok {
		return rule{}, errors.New("write NAME[@ENTITY]=RIGHTS[:KEY], RIGHTS being listen, send, listen+send or manage")
	}
	name, entity, ofEntity := strings.Cut(left, "@")
	names, key, keyed := strings.Cut(right, ":")
	r := rule{fakerelay.Rule{Name: name, Key: key}, entity}
	if !ruleName.MatchString(name) {
		return r, errors.New("a rule's name consists of letters, digits, '.', '-' and '_'")
	}
	if ofEntity && entity == "" {
		return r, errors.New("the entity after @ is missing")
	}
	for name := range strings.SplitSeq(names, "+") {
		given, ok := rights[name]
		if !ok {
			return r, fmt.Errorf("the right %q is none of listen, send and manage", name)
		}
		r.Listen, r.Send = r.Listen || given.Listen, r.Send || given.Send
	}
	if keyed {
		return r, checkKey(key)
	}
	return r, nil
}

// checkKey refuses what connection strings or shells would take apart. It does not
// show the key.
func checkKey(key string) error {
	if key == "" || len(key) > 256 || strings.ContainsAny(key, "; \t\r\n'\"\\$`") {
		return errors.New("a key must be of 1 to 256 characters, without blanks, quotes, semicolons, $ and \\")
	}
	return nil
}
