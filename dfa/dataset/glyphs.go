package dataset

import (
	"math"
	"strconv"
	"strings"
)

// glyphs are the ways to write each digit, in a box of 100 x 100 with x to the
// right and y downwards. A line of points is a smooth curve through them; "/" is
// a corner at the last point, from which the pen goes on; ";" lifts the pen.
var glyphs = parseGlyphs([10][]string{
	0: {
		"55,2 25,15 12,50 25,87 50,98 77,85 88,50 76,15 50,3 36,8",   // closed, overlapping
		"70,10 40,3 15,30 15,70 45,98 80,75 85,35 62,8",              // open at the top
		"45,2 20,30 18,70 45,98 75,72 80,30 55,4 40,6 30,22",         // closed inwards
		"50,3 18,20 10,52 30,92 62,96 88,70 88,32 70,6 48,2",         // round
		"38,18 20,45 18,72 38,97 68,85 84,48 76,12 52,2 36,16 40,22", // begun at the left
	},
	1: {
		"50,0 50,50 50,100",                // a bar
		"52,0 50,33 49,66 47,100",          // a bar
		"30,24 42,12 52,1 / 51,50 50,100",  // with a flag
		"28,28 52,2 / 50,98 ; 28,99 76,98", // with flag and foot
		"57,0 50,50 40,100",                // curved
	},
	2: {
		"15,25 30,6 55,2 80,18 78,40 50,68 12,97 / 50,95 90,97",           // with a corner
		"15,20 45,2 78,18 72,45 40,80 18,95 10,82 28,78 55,92 92,92",      // with a loop
		"20,14 50,3 82,14 74,42 44,70 14,96 / 48,94 88,98",                // like a z
		"12,30 34,4 70,6 80,30 58,60 26,84 12,94 22,82 44,86 66,98 92,88", // with a wave
		"25,22 48,4 72,14 70,40 50,66 20,96 / 52,96 80,94",                // narrow
	},
	3: {
		"15,15 45,1 78,17 70,38 42,47 / 75,55 85,77 60,97 30,97 10,83",     // with a corner
		"20,10 55,0 80,20 62,42 42,47 65,52 86,73 60,97 15,92",             // in one sweep
		"15,4 50,3 82,4 / 62,22 44,42 / 78,52 82,80 52,99 12,88",           // with a flat top
		"18,22 40,2 70,8 74,30 48,46 38,44 52,46 80,62 78,88 48,100 14,84", // with a small loop
		"24,8 58,2 78,16 66,36 46,44 / 70,50 80,70 66,92 38,100 18,94",     // narrow
	},
	4: {
		"22,6 18,35 20,55 / 50,54 85,50 ; 72,8 70,50 66,100",  // open
		"62,2 35,35 10,66 / 50,66 92,64 ; 68,34 66,60 64,100", // pointed
		"20,5 15,40 35,55 65,45 78,10 / 72,50 68,100",         // like a y
		"30,2 20,28 14,56 / 52,58 90,54 ; 66,20 62,60 56,100", // open and leaning
		"66,2 40,28 12,60 / 48,60 88,58 ; 68,2 66,50 66,100",  // closed
		"24,4 18,30 28,50 58,48 74,30 / 78,6 / 72,54 64,100",  // round, open
	},
	5: {
		"25,3 22,24 20,42 / 50,36 80,50 83,75 60,97 30,98 10,87 ; 25,3 55,4 85,2", // bar last
		"85,3 55,3 28,6 / 25,25 20,45 / 50,40 80,58 75,85 45,99 10,90",            // in one go
		"82,6 50,2 25,20 40,42 70,58 75,82 45,98 12,89",                           // like an s
		"78,4 52,4 34,6 / 30,26 28,44 / 56,46 70,66 62,90 38,100 18,92",           // narrow
	},
	6: {
		"70,3 40,20 17,55 20,85 48,99 78,85 78,62 52,52 25,68 20,80",  // round
		"60,0 35,35 20,70 32,96 65,95 80,75 62,58 35,66 24,78",        // straight
		"82,12 60,2 30,20 14,55 25,90 55,98 80,78 68,55 40,55 20,72",  // with a hook
		"52,0 34,30 24,64 30,92 52,98 68,82 60,64 40,68 30,84",        // narrow
		"66,2 34,26 16,62 24,92 56,100 84,88 86,70 66,62 40,76 30,92", // low loop
	},
	7: {
		"12,6 50,5 85,6 / 62,40 42,98",                // plain
		"12,6 50,4 85,5 / 64,45 45,100 ; 34,52 76,48", // with a bar
		"14,22 15,5 / 50,7 85,4 / 60,50 50,100",       // with a serif
		"12,12 55,4 84,12 72,40 50,70 42,100",         // round
		"14,10 48,4 78,2 / 70,30 62,64 60,100",        // steep
	},
	8: {
		"75,12 50,0 22,15 30,38 60,55 82,78 55,99 20,83 30,60 60,42 78,20 70,10",              // like an s
		"50,45 25,28 35,5 65,5 75,28 50,47 20,68 30,95 65,97 82,72 52,47",                     // two loops
		"80,5 48,8 26,24 40,42 70,62 72,90 42,100 22,84 36,60 64,36 85,10",                    // open at the top
		"46,2 26,16 36,38 56,52 70,74 54,98 30,90 30,68 52,48 70,26 62,6 44,2",                // narrow
		"50,2 26,14 30,36 52,46 74,34 74,12 50,2 ; 50,46 20,60 20,88 50,99 80,86 78,58 50,46", // two rings
	},
	9: {
		"78,18 50,2 20,20 25,45 55,48 78,22 / 75,60 70,100",           // with a straight tail
		"78,16 50,2 22,16 24,42 54,46 78,20 / 80,60 62,94 25,95",      // with a curved tail
		"75,20 45,3 20,25 35,48 70,35 76,15 72,55 50,100",             // in one sweep
		"70,12 42,4 24,26 34,46 58,40 70,14 / 64,56 52,100",           // narrow
		"76,22 58,4 28,10 16,32 36,50 66,40 77,18 74,50 66,82 54,100", // large
	},
})

// A glyph is one way to write a digit: strokes between which the pen is lifted,
// each made of smooth arcs that meet in corners. It is 1 high and 1 wide.
type (
	glyph  []stroke
	stroke []arc
	arc    []point
	point  struct{ x, y float64 }
)

// maxArc is the most points an arc may have.
const maxArc = 16

func parseGlyphs(notation [10][]string) (all [10][]glyph) {
	for class, ways := range notation {
		for _, way := range ways {
			var g glyph
			for s := range strings.SplitSeq(way, ";") {
				g = append(g, parseStroke(s))
			}
			all[class] = append(all[class], g)
		}
	}
	return all
}

func parseStroke(notation string) (s stroke) {
	var a arc
	for part := range strings.SplitSeq(notation, "/") {
		if len(a) > 0 {
			a = arc{a[len(a)-1]} // the corner
		}
		for xy := range strings.FieldsSeq(part) {
			x, y, _ := strings.Cut(xy, ",")
			a = append(a, point{hundredths(x), hundredths(y)})
		}
		s = append(s, a)
	}
	return s
}

// hundredths gives NaN for what is no number, which a test would find.
func hundredths(s string) float64 {
	v, err := strconv.Atoi(s)
	if err != nil {
		return math.NaN()
	}
	return float64(v) / 100
}
