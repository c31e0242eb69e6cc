package readme_test

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/b0401464/redlock/test/rig"
)

// A manifest is what the tests look at of an object for Kubernetes.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		ServiceName string `yaml:"serviceName"`
		Replicas    int
	}
}

// manifests returns the objects of the files for Kubernetes, by kind and name.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	all := make(map[string]manifest)
	for _, name := range inRoot(t, "docs/kubernetes/*.yaml") {
		file, err := os.Open(name) //nolint:gosec // a file of this module
		require.NoError(t, err)
		defer func() { _ = file.Close() }()
		for docs := yaml.NewDecoder(file); ; {
			var m manifest
			err := docs.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
			id := m.Kind + " " + m.Metadata.Name
			require.NotContains(t, all, id)
			all[id] = m
		}
	}
	require.NotEmpty(t, all)
	return all
}

func TestEachManifestForKubernetesParses(t *testing.T) {
	for id, m := range manifests(t) {
		assert.NotEmpty(t, m.APIVersion, id)
		assert.NotEmpty(t, m.Kind, id)
		assert.NotEmpty(t, m.Metadata.Name, id)
	}
}

func TestTheManifestsGrantTheACLOfTheDocs(t *testing.T) {
	password := regexp.MustCompile(` >\S+`) // another one than on the page
	var want strings.Builder
	want.WriteString("user locks")
	for _, m := range regexp.MustCompile(`(?m)^ACL SETUSER locks(.*)$`).FindAllStringSubmatch(rig.Page(t, "docs/nodes.md"), -1) {
		want.WriteString(m[1])
	}
	users := manifests(t)["Secret redlock-acl"].StringData["users.acl"]
	assert.Contains(t, password.ReplaceAllString(users, ""), "\n"+password.ReplaceAllString(want.String(), "")+"\n")
	assert.Contains(t, users, "user default off\n")
}

func TestTheManifestsNameTheNodesThatTheyMake(t *testing.T) {
	all := manifests(t)
	set, nodes := all["StatefulSet redlock"], all["Secret redlock-nodes"].StringData
	require.Contains(t, all, "Service "+set.Spec.ServiceName)
	password := regexp.MustCompile(`user locks on >(\S+) `).FindStringSubmatch(all["Secret redlock-acl"].StringData["users.acl"])
	require.Len(t, password, 2)
	assert.Equal(t, password[1], nodes["REDLOCK_PASSWORD"])
	var want []string
	for i := range set.Spec.Replicas {
		node := url.URL{
			Scheme: "redis", User: url.UserPassword("locks", password[1]),
			Host: fmt.Sprintf("%s-%d.%s.%s.svc:6379", set.Metadata.Name, i, set.Spec.ServiceName, set.Metadata.Namespace),
		}
		want = append(want, node.String())
	}
	assert.Len(t, want, 3)
	assert.Equal(t, strings.Join(want, ","), nodes["REDLOCK_NODES"])
}
