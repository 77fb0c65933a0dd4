package slm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// model is a pattern as one would write it without thinking of speed.
type model [][]bool

func newModel(g Geometry) model {
	m := make(model, g.Height)
	for v := range m {
		m[v] = make([]bool, g.Width)
	}
	return m
}

func (m model) fill(on bool) {
	for _, row := range m {
		for u := range row {
			row[u] = on
		}
	}
}

func (m model) count() int {
	n := 0
	for _, row := range m {
		for _, on := range row {
			if on {
				n++
			}
		}
	}
	return n
}

func (m model) equal(o model) bool { return fmt.Sprint(m) == fmt.Sprint(o) }

// compare says where pattern and model differ, with the packed rows as Row shows
// them and the rule that nothing is set beyond the width.
func (m model) compare(p *Pattern) error {
	g := p.Geometry()
	for v, row := range m {
		packed := p.Row(v)
		if len(packed) != (g.Width+63)/64 {
			return fmt.Errorf("row %d has %d words for %d mirrors", v, len(packed), g.Width)
		}
		for u := range 64 * len(packed) {
			want := u < g.Width && row[u]
			if got := packed[u/64]>>(u%64)&1 != 0; got != want {
				return fmt.Errorf("bit %d of row %d is %v, want %v", u, v, got, want)
			}
			if u < g.Width && p.On(u, v) != want {
				return fmt.Errorf("On(%d, %d) is not %v", u, v, want)
			}
		}
	}
	if got, want := p.Count(), m.count(); got != want {
		return fmt.Errorf("Count is %d, want %d", got, want)
	}
	return nil
}

// FuzzPattern plays a script of operations on two patterns and their models: the
// first two bytes are the geometry, then each operation takes four.
func FuzzPattern(f *testing.F) {
	f.Add([]byte{64, 2, 0, 1, 63, 1, 1, 0, 0, 0})
	f.Add([]byte{65, 3, 0, 1, 64, 2, 4, 0, 0, 0, 3, 1, 0, 0})
	f.Add([]byte{1, 1, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0})
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		script := make([]byte, 2+4*random.IntN(60))
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) < 2 {
			return
		}
		g := Geometry{Width: 1 + int(script[0])%200, Height: 1 + int(script[1])%6}
		patterns := [2]*Pattern{NewPattern(g), NewPattern(g)}
		models := [2]model{newModel(g), newModel(g)}
		for s := script[2:]; len(s) >= 4; s = s[4:] {
			i := int(s[1]) & 1
			p, m := patterns[i], models[i]
			switch s[0] % 6 {
			case 0:
				u, v, on := int(s[2])%g.Width, int(s[3])%g.Height, s[1]&2 == 0
				p.Set(u, v, on)
				m[v][u] = on
			case 1:
				p.Clear()
				m.fill(false)
			case 2:
				p.Fill()
				m.fill(true)
			case 3:
				p.Copy(patterns[1-i])
				for v := range m {
					copy(m[v], models[1-i][v])
				}
			case 4: // a clone has a life of its own
				clone := p.Clone()
				p.Set(int(s[2])%g.Width, int(s[3])%g.Height, !p.On(int(s[2])%g.Width, int(s[3])%g.Height))
				if p.Equal(clone) {
					t.Fatal("a change of the original reached the clone")
				}
				patterns[i] = clone
			case 5:
				p.Row(int(s[3]) % g.Height)[0] = 0
				for u := range min(64, g.Width) {
					m[int(s[3])%g.Height][u] = false
				}
			}
			for i := range patterns {
				if err := models[i].compare(patterns[i]); err != nil {
					t.Fatalf("pattern %d after operation %d: %v", i, s[0]%6, err)
				}
			}
			equal := models[0].equal(models[1])
			if patterns[0].Equal(patterns[1]) != equal {
				t.Fatalf("Equal is %v, want %v", !equal, equal)
			}
			if equal && patterns[0].Hash() != patterns[1].Hash() {
				t.Fatal("equal patterns have different hashes")
			}
		}
	})
}

// A hash that ignored some mirrors would make tables slow, and rigs that trust
// Equal alone slower still.
func TestHashSeesEveryMirror(t *testing.T) {
	p := NewPattern(Geometry{Width: 70, Height: 70}) // more words than one step hashes
	seen := map[uint64]string{p.Hash(): "none"}
	for v := range 70 {
		for u := range 70 {
			p.Set(u, v, true)
			name := fmt.Sprintf("(%d, %d)", u, v)
			if other, ok := seen[p.Hash()]; ok {
				t.Fatalf("mirror %s has the hash of %s", name, other)
			}
			seen[p.Hash()] = name
			p.Set(u, v, false)
		}
	}
	if n := testing.AllocsPerRun(10, func() { p.Hash() }); n != 0 {
		t.Errorf("Hash allocates %v times", n)
	}
}

func TestGeometryCheck(t *testing.T) {
	for _, c := range []struct {
		g    Geometry
		good bool
	}{
		{Geometry{1, 1}, true}, {Geometry{MaxSide, MaxSide}, true}, {Geometry{}, false},
		{Geometry{0, 5}, false}, {Geometry{5, -1}, false}, {Geometry{MaxSide + 1, 1}, false}, {Geometry{1, MaxSide + 1}, false},
	} {
		if err := c.g.Check(); (err == nil) != c.good {
			t.Errorf("Check of %v: %v", c.g, err)
		}
	}
}

func TestPatternPanics(t *testing.T) {
	p := NewPattern(Geometry{Width: 70, Height: 2})
	for name, f := range map[string]func(){
		"no geometry":       func() { NewPattern(Geometry{}) },
		"column -1":         func() { p.On(-1, 0) },
		"column 70, packed": func() { p.Set(70, 0, true) }, // the word has room for it
		"row 2":             func() { p.On(0, 2) },
		"other geometry":    func() { p.Copy(NewPattern(Geometry{Width: 70, Height: 3})) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if p.Equal(NewPattern(Geometry{Width: 2, Height: 70})) {
		t.Error("patterns of different geometry are equal")
	}
}

func BenchmarkPattern(b *testing.B) {
	p := NewPattern(Geometry{Width: 1920, Height: 1080})
	q := p.Clone()
	for name, f := range map[string]func(){
		"Count": func() { p.Count() }, "Hash": func() { p.Hash() }, "Copy": func() { p.Copy(q) }, "Equal": func() { p.Equal(q) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "patterns/s")
			b.ReportMetric(rate*float64(p.Geometry().Mirrors())/1e6, "Mmirrors/s")
		})
	}
}

func TestOr(t *testing.T) {
	g := Geometry{Width: 70, Height: 3}
	a, b := NewPattern(g), NewPattern(g)
	a.Set(0, 0, true)
	a.Set(69, 2, true)
	b.Set(69, 2, true)
	b.Set(64, 1, true)
	a.Or(b)
	if a.Count() != 3 || !a.On(0, 0) || !a.On(69, 2) || !a.On(64, 1) || b.Count() != 2 {
		t.Errorf("%d mirrors are on and %d in the pattern laid over", a.Count(), b.Count())
	}
}
