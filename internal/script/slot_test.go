package script_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/servers"
)

func TestSlotsAreThoseThatTheClusterSpecificationGives(t *testing.T) {
	assert.Equal(t, 12739, script.Slot("123456789")) // 0x31C3, its test vector
	assert.Equal(t, 15495, script.Slot("a"))
	assert.Equal(t, 12182, script.Slot("foo"))
	assert.Equal(t, script.Slot("a"), script.Slot("x{a}y"))
	assert.NotEqual(t, script.Slot("a"), script.Slot("{}a"))
}

func TestTheSlotOfAKeyIsWhereAServerPutsIt(t *testing.T) {
	c := servers.StartCluster(t, 3).Servers[0].Client(t)
	keys := []string{"a", "{}", "{}a", "{a}", "{a}{b}", "{{a}}", "a}b{c}", "a{", "a{b", "}{", "ключ{замок}", "\x00", "{\xff}", " "}
	for i := range 300 {
		keys = append(keys, fmt.Sprint("key:", i), fmt.Sprintf("{tag%d}:%d", i, i))
	}
	for _, key := range keys {
		want, err := c.ClusterKeySlot(t.Context(), key).Result()
		require.NoError(t, err)
		require.EqualValues(t, want, script.Slot(key), "%q", key)
	}
}
