// Package readme_test tests the README and the pages in docs: that their code runs, that what they
// name and link to exists, and that their figures are those that were measured.
package readme_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
