package server

import (
	"fmt"
	"net/http"
	"slices"
)

// What people can have done from the page. The forms work without scripts, so that each
// answer is a redirect to the page, or a page that says why not.

// jobKind is a kind of jobs as the page offers it.
type jobKind struct {
	Kind, Doing, Button, Warning string
}

// jobKinds that the page offers where the device can do them.
var jobKinds = []jobKind{
	{"calibration", "Calibrating", "Calibrate", "Calibrating takes the device for itself for some seconds or minutes, and brings another matrix, with another version: " +
		"whoever works on this one is told so, and has to begin anew. If the calibration is refused, the matrix stays."},
	{"selftest", "Testing", "Self-test", "The self-test judges the calibration again: it takes the device for itself for some seconds, and changes nothing."},
}

// offered are the kinds of jobs that the device can do.
func (s *Server) offered() []jobKind {
	return slices.DeleteFunc(slices.Clone(jobKinds), func(k jobKind) bool { return s.o.Works[k.Kind] == nil })
}

// doing says what a kind of job does.
func doing(kind string) string {
	for _, k := range jobKinds {
		if k.Kind == kind {
			return k.Doing
		}
	}
	return "At work: " + kind
}

// readable turns a handler of a form into one whose errors are pages.
func (s *Server) readable(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if err == nil {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return nil
		}
		as := refusalOf(err)
		s.refused.count(as.status)
		return writePage(w, as.status, "refusal", err.Error())
	}
}

// startFromPage is POST /page/jobs, the form that has something done.
func (s *Server) startFromPage(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	kind := r.PostFormValue("kind")
	parse := s.o.Works[kind]
	if parse == nil {
		return fmt.Errorf("cannot do a %.20q: this device has none: %w", kind, errNotHere)
	}
	if j := s.jobs.current(); j != nil { // who presses twice does not want it twice
		return fmt.Errorf("cannot begin another job while there is one (%s); cancel it, or wait for its end: %w", j.Kind, errBusy)
	}
	if err := s.leases.admit(""); err != nil {
		return err
	}
	work, err := parse(nil)
	if err != nil {
		return err
	}
	_, err = s.Start(kind, work)
	return err
}

// cancelFromPage is POST /page/jobs/ID/cancel. It waits until the job has ended, which
// it does in time.
func (s *Server) cancelFromPage(_ http.ResponseWriter, r *http.Request) error {
	j, _, err := s.jobs.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	j.cancel(fmt.Errorf("somebody at the page cancelled it: %w", errCancelled))
	select {
	case <-j.over:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// last is the last job of each kind that has ended.
func (q *jobs) last() (all []Job) {
	for _, j := range q.list() { // the newest first
		known := slices.ContainsFunc(all, func(k Job) bool { return k.Kind == j.Kind })
		if j.Ended != nil && !known {
			all = append(all, j)
		}
	}
	return all
}
