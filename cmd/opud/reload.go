package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/light-in-the-loop/opu/internal/server"
)

// listen does what signals ask for, until the server has ended: the first that ends
// lets requests finish, the second does not wait for them, and a third ends the process
// at once.
func (p *program) listen(ctx context.Context, end context.CancelFunc, s *server.Server, running *config, doors *doors) {
	for ends := 0; ; {
		select {
		case <-p.reload:
			if ctx.Err() == nil {
				running = p.reloaded(s, running, doors)
			}
		case signalled, open := <-p.end:
			if !open {
				return
			}
			if ends++; ends == 1 {
				p.log.Info("ending: requests may finish", "signal", signalled)
				end()
				continue
			}
			p.log.Warn("ending at once", "signal", signalled)
			signal.Reset(os.Interrupt)
			s.Hurry()
			return
		}
	}
}

// reloaded reads the configuration again and takes over what can change while the
// server runs. It returns what is in force then: the old one, if the new is wrong.
func (p *program) reloaded(s *server.Server, old *config, doors *doors) *config {
	c, err := loadConfig(p.args, p.getenv)
	var token string
	if err == nil {
		token, err = c.token(p.getenv)
	}
	if err == nil {
		err = doors.certificate.load(c)
	}
	if err != nil {
		p.log.Error("cannot reload: the configuration stays as it was", "reason", err)
		return old
	}
	for _, part := range []struct {
		name     string
		old, new any
	}{
		{"device", old.Device, c.Device}, {"matrix", old.Matrix, c.Matrix}, {"state", old.State, c.State},
		{"shared_memory", old.SharedMemory, c.SharedMemory}, {"limits.batch_rows", old.Limits.BatchRows, c.Limits.BatchRows},
		{"listen", old.Listen, c.Listen},
	} {
		if fmt.Sprint(part.old) != fmt.Sprint(part.new) {
			p.log.Warn("a change needs a restart", "section", part.name)
		}
	}
	p.level.Set(c.level())
	s.Set(server.Settings{Token: token, Limits: server.Limits(c.Limits)})
	p.log.Info("reloaded: token, certificate, limits and log level")
	return c
}
