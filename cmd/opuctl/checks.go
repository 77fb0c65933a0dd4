package main

import (
	"fmt"
	"io"
)

// check is one thing that was looked at, and what came of it.
type check struct {
	Name    string  `json:"name"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
}

type verdict string

const (
	success verdict = "SUCCESS"
	failure verdict = "FAILURE"
	ignored verdict = "IGNORED" // it could not be told, or does not matter here
)

func found(v verdict, format string, args ...any) check {
	return check{Verdict: v, Found: fmt.Sprintf(format, args...)}
}

// printChecks writes them for people.
func printChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		fmt.Fprintf(w, "%-8s %s: %s\n", c.Verdict, c.Name, c.Found)
	}
}

// failed is nil if none of them failed.
func failed(what string, checks []check) error {
	failures := 0
	for _, c := range checks {
		if c.Verdict == failure {
			failures++
		}
	}
	if failures == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d checks failed", what, failures, len(checks))
}
