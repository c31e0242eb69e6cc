// Package deployments_test tests Clusters, Sentinel groups, TLS, ACLs and clients of other kinds.
package deployments_test

import (
	"testing"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
