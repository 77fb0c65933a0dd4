// Package repotest holds the tests of the repository as a whole, and no code: who
// may import whom, which modules may be required and why, package comments, the
// links of the documentation, what the continuous integration relies on.
//
// A rule that no test holds is a wish. Each rule here is data with its reason, so
// that whoever breaks one reads the reason, and whoever changes one changes a table
// and a decision record.
package repotest
