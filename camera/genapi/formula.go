package genapi

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A number is what nodes and formulas compute with: an integer or a real.
type number struct {
	i    int64
	f    float64
	real bool
}

func ofInt(i int64) number     { return number{i: i} }
func ofFloat(f float64) number { return number{f: f, real: true} }
func truth(b bool) number {
	if b {
		return ofInt(1)
	}
	return ofInt(0)
}

// float is the number as a real; integers beyond 2^53 are rounded.
func (x number) float() float64 {
	if x.real {
		return x.f
	}
	return float64(x.i)
}

// int is the number as an integer, rounded; it fails for what no int64 can be.
func (x number) int() (int64, error) {
	if !x.real {
		return x.i, nil
	}
	r := math.Round(x.f)
	if !(r >= -1<<63 && r < 1<<63) { // written so that NaN fails
		return 0, fmt.Errorf("%g is no integer of 64 bits: %w", x.f, ErrRange)
	}
	return int64(r), nil
}

func (x number) isTrue() bool { return x.i != 0 || x.f != 0 }

func (x number) String() string {
	if x.real {
		return strconv.FormatFloat(x.f, 'g', -1, 64)
	}
	return strconv.FormatInt(x.i, 10)
}

// parseNumber reads a number of a description: decimal, hexadecimal or real.
func parseNumber(s string) (number, error) {
	s = strings.TrimSpace(s)
	if i, err := parseInteger(s); err == nil {
		return ofInt(i), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return number{}, fmt.Errorf("%.40q is no number", s)
	}
	return ofFloat(f), nil
}

// parseInteger reads a decimal or hexadecimal integer; 0xffffffffffffffff is -1.
func parseInteger(s string) (int64, error) {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		u, err := strconv.ParseUint(s[2:], 16, 64)
		return int64(u), err
	}
	return strconv.ParseInt(s, 10, 64)
}

// The limits of a formula.
const (
	maxFormula = 1 << 14 // bytes
	maxNesting = 100     // of brackets, prefixes and what associates to the right
)

// An expr is a formula, taken apart.
type expr struct {
	op      string // an operator, "number", "name", "call"
	literal number
	name    string
	args    []*expr
}

// The operators between two operands, from those that bind least. "?:" binds less than all
// of them, prefixes bind most.
var precedences = [][]string{
	{"||"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"=", "<>"}, {"<=", ">=", "<", ">"}, {">>", "<<"}, {"+", "-"}, {"%", "/", "*"}, {"**"},
}

var functions = map[string]func(x float64) float64{
	"SIN": math.Sin, "COS": math.Cos, "TAN": math.Tan, "ASIN": math.Asin, "ACOS": math.Acos, "ATAN": math.Atan,
	"EXP": math.Exp, "LN": math.Log, "LG": math.Log10, "SQRT": math.Sqrt,
	"TRUNC": math.Trunc, "FLOOR": math.Floor, "CEIL": math.Ceil, "ROUND": math.Round,
	"ABS": nil, "SGN": nil, "NEG": nil, // those that are of integers, too
}

// parseFormula takes a formula apart.
func parseFormula(text string) (*expr, error) {
	fail := func(err error) (*expr, error) {
		return nil, fmt.Errorf("the formula %.200q: %w", text, err)
	}
	if len(text) > maxFormula {
		return fail(fmt.Errorf("it has %d characters, the most are %d", len(text), maxFormula))
	}
	tokens, err := lex(text)
	if err != nil {
		return fail(err)
	}
	p := &parser{tokens: tokens}
	e, err := p.choice()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q does not belong there", p.tokens[0])
	}
	if err != nil {
		return fail(err)
	}
	return e, nil
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// lex splits a formula into tokens.
func lex(s string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(s); {
		start := i
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case isLetter(c):
			for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '.') {
				i++
			}
		case isDigit(c) || c == '.':
			hex := strings.HasPrefix(s[i:], "0x") || strings.HasPrefix(s[i:], "0X")
			for i++; i < len(s); i++ {
				sign := (s[i] == '+' || s[i] == '-') && !hex && (s[i-1] == 'e' || s[i-1] == 'E')
				if !(isLetter(s[i]) || isDigit(s[i]) || s[i] == '.' || sign) {
					break
				}
			}
		default:
			i++
			if i < len(s) {
				switch s[start : i+1] {
				case "**", "||", "&&", "<=", ">=", "<>", "<<", ">>":
					i++
				}
			}
			if i == start+1 && !strings.ContainsRune("+-*/%()&|^~=<>?:", rune(c)) {
				return nil, fmt.Errorf("%q means nothing", c)
			}
		}
		tokens = append(tokens, s[start:i])
	}
	return tokens, nil
}

type parser struct {
	tokens []string
	depth  int
}

// next takes the next token if it is one of these.
func (p *parser) next(tokens ...string) string {
	if len(p.tokens) > 0 {
		for _, t := range tokens {
			if p.tokens[0] == t {
				p.tokens = p.tokens[1:]
				return t
			}
		}
	}
	return ""
}

func (p *parser) expect(token string) error {
	if p.next(token) == "" {
		return fmt.Errorf("a %q is missing", token)
	}
	return nil
}

// nested bounds the recursion of the parser.
func (p *parser) nested(parse func() (*expr, error)) (*expr, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, fmt.Errorf("it is nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	return parse()
}

// choice parses condition ? a : b.
func (p *parser) choice() (*expr, error) {
	return p.nested(func() (*expr, error) {
		condition, err := p.binary(0)
		if err != nil || p.next("?") == "" {
			return condition, err
		}
		a, err := p.choice()
		if err != nil {
			return nil, err
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		b, err := p.choice()
		return &expr{op: "?", args: []*expr{condition, a, b}}, err
	})
}

// binary parses operators of this precedence and of those that bind more.
func (p *parser) binary(level int) (*expr, error) {
	if level == len(precedences) {
		return p.prefixed()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		op := p.next(precedences[level]...)
		if op == "" {
			break
		}
		var right *expr
		if op == "**" { // to the right
			right, err = p.nested(func() (*expr, error) { return p.binary(level) })
		} else {
			right, err = p.binary(level + 1)
		}
		left = &expr{op: op, args: []*expr{left, right}}
	}
	return left, err
}

// prefixed parses signs and complements.
func (p *parser) prefixed() (*expr, error) {
	op := p.next("-", "+", "~")
	if op == "" {
		return p.operand()
	}
	x, err := p.nested(p.prefixed)
	return &expr{op: op, args: []*expr{x}}, err
}

// operand parses a number, a name, a call or what is in brackets.
func (p *parser) operand() (*expr, error) {
	if p.next("(") != "" {
		e, err := p.choice()
		if err == nil {
			err = p.expect(")")
		}
		return e, err
	}
	if len(p.tokens) == 0 {
		return nil, errors.New("it ends too early")
	}
	token := p.tokens[0]
	p.tokens = p.tokens[1:]
	switch {
	case isLetter(token[0]):
		if p.next("(") == "" {
			return &expr{op: "name", name: token}, nil
		}
		name := strings.ToUpper(token)
		if _, ok := functions[name]; !ok {
			return nil, fmt.Errorf("there is no function %s", token)
		}
		x, err := p.choice()
		if err == nil {
			err = p.expect(")")
		}
		return &expr{op: "call", name: name, args: []*expr{x}}, err
	case isDigit(token[0]) || token[0] == '.':
		x, err := parseNumber(token)
		return &expr{op: "number", literal: x}, err
	}
	return nil, fmt.Errorf("%q stands where a number should", token)
}

// An environment says what names mean, and how numbers divide.
type environment struct {
	variable func(name string) (number, error)
	integers bool // all is integer where both operands are; else all is real
}

// eval computes a formula. It visits each part at most once.
func (v environment) eval(e *expr) (number, error) {
	x, err := v.compute(e)
	if !v.integers && !x.real {
		x = ofFloat(float64(x.i))
	}
	return x, err
}

func (v environment) compute(e *expr) (number, error) {
	switch e.op {
	case "number":
		return e.literal, nil
	case "name":
		return v.variable(e.name)
	case "?":
		condition, err := v.eval(e.args[0])
		if err != nil {
			return number{}, err
		}
		if condition.isTrue() {
			return v.eval(e.args[1])
		}
		return v.eval(e.args[2])
	case "&&", "||": // the right side may be what the left side protects
		left, err := v.eval(e.args[0])
		if err != nil || left.isTrue() == (e.op == "||") {
			return truth(left.isTrue()), err
		}
		right, err := v.eval(e.args[1])
		return truth(right.isTrue()), err
	}
	x, err := v.eval(e.args[0])
	if err != nil {
		return number{}, err
	}
	if e.op == "call" {
		return call(e.name, x), nil
	}
	if len(e.args) == 1 {
		return prefix(e.op, x)
	}
	y, err := v.eval(e.args[1])
	if err != nil {
		return number{}, err
	}
	return infix(e.op, x, y)
}

func call(name string, x number) number {
	if f := functions[name]; f != nil {
		return ofFloat(f(x.float()))
	}
	sign := 0.0
	switch f := x.float(); {
	case f > 0:
		sign = 1
	case f < 0:
		sign = -1
	case math.IsNaN(f):
		sign = f
	}
	switch {
	case name == "SGN" && x.real:
		return ofFloat(sign)
	case name == "SGN":
		return ofInt(int64(sign))
	case name == "NEG" || sign < 0: // or ABS
		return negated(x)
	}
	return x
}

func negated(x number) number {
	if x.real {
		return ofFloat(-x.f)
	}
	return ofInt(-x.i)
}

func prefix(op string, x number) (number, error) {
	switch op {
	case "-":
		return negated(x), nil
	case "~":
		i, err := x.int()
		return ofInt(^i), err
	}
	return x, nil
}

func infix(op string, x, y number) (number, error) {
	switch op {
	case "&", "|", "^", "<<", ">>":
		return bits(op, x, y)
	}
	if x.real || y.real {
		return reals(op, x.float(), y.float()), nil
	}
	return integers(op, x.i, y.i)
}

func bits(op string, x, y number) (number, error) {
	a, err := x.int()
	if err != nil {
		return number{}, err
	}
	b, err := y.int()
	if err != nil {
		return number{}, err
	}
	switch op {
	case "&":
		return ofInt(a & b), nil
	case "|":
		return ofInt(a | b), nil
	case "^":
		return ofInt(a ^ b), nil
	}
	if b < 0 {
		return number{}, fmt.Errorf("cannot shift by %d bits: %w", b, ErrDescription)
	}
	if op == "<<" {
		return ofInt(a << b), nil
	}
	return ofInt(a >> b), nil
}

func reals(op string, x, y float64) number {
	switch op {
	case "=":
		return truth(x == y)
	case "<>":
		return truth(x != y)
	case "<":
		return truth(x < y)
	case ">":
		return truth(x > y)
	case "<=":
		return truth(x <= y)
	case ">=":
		return truth(x >= y)
	case "+":
		return ofFloat(x + y)
	case "-":
		return ofFloat(x - y)
	case "*":
		return ofFloat(x * y)
	case "/":
		return ofFloat(x / y)
	case "%":
		return ofFloat(math.Mod(x, y))
	}
	return ofFloat(math.Pow(x, y))
}

// integers wrap around, as those of cameras do.
func integers(op string, x, y int64) (number, error) {
	switch op {
	case "=":
		return truth(x == y), nil
	case "<>":
		return truth(x != y), nil
	case "<":
		return truth(x < y), nil
	case ">":
		return truth(x > y), nil
	case "<=":
		return truth(x <= y), nil
	case ">=":
		return truth(x >= y), nil
	case "+":
		return ofInt(x + y), nil
	case "-":
		return ofInt(x - y), nil
	case "*":
		return ofInt(x * y), nil
	case "/", "%":
		if y == 0 {
			return number{}, fmt.Errorf("cannot divide %d by 0: %w", x, ErrRange)
		}
		if op == "/" {
			return ofInt(x / y), nil
		}
		return ofInt(x % y), nil
	}
	if y < 0 {
		return ofFloat(math.Pow(float64(x), float64(y))), nil
	}
	power := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 != 0 {
			power *= x
		}
		x *= x
	}
	return ofInt(power), nil
}
