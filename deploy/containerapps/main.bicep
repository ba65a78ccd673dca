// An app with hyco-sidecar in Azure Container Apps. Not compiled and not deployed
// by this project: README.md says what is unverified, above all whether a file may
// be mounted over /etc/resolv.conf.

@description('Region of the app.')
param location string = resourceGroup().location

@description('Resource id of the Container Apps environment.')
param environmentId string

@description('Name of the container app.')
param name string = 'orders-web'

@description('Image of the app.')
param appImage string

@description('Port at which the app serves, not the port of an endpoint below.')
param appPort int = 8000

@description('Image of hyco-sidecar, built for linux/amd64.')
param sidecarImage string

@description('What the app connects to: host:port=hybrid-connection, with commas between them.')
param endpoints string = 'sql01.corp.example:1433=sql01-hc'

@secure()
@description('Connection string of the relay namespace, with a key that may send.')
param connectionString string

// The environment's own search list, as it was seen in a Consumption environment
// with a virtual network. Compare it with /etc/resolv.conf of yours.
@description('resolv.conf of the app\'s container.')
param resolvConf string = '''
nameserver 127.0.0.1
search k8se-apps.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
'''

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  properties: {
    environmentId: environmentId
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        targetPort: appPort
      }
      secrets: [
        {
          name: 'relay'
          value: connectionString
        }
        {
          name: 'resolv-conf' // not secret: a volume of files is made of secrets
          value: resolvConf
        }
      ]
    }
    template: {
      // Both containers get SIGTERM at once, so the drain lasts as long as the app may
      // take to end.
      terminationGracePeriodSeconds: 40
      containers: [
        {
          name: 'app'
          image: appImage
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          volumeMounts: [
            {
              volumeName: 'resolv-conf'
              mountPath: '/etc/resolv.conf'
              subPath: 'resolv.conf'
            }
          ]
        }
        {
          name: 'hyco-sidecar'
          image: sidecarImage
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          env: [
            {
              name: 'HYCO_ENDPOINTS'
              value: endpoints
            }
            {
              name: 'HYCO_CONNECTION_STRING_FILE'
              value: '/run/secrets/hyco-sidecar/connectionString'
            }
            {
              // 2,000 connections, all of them stalled in both directions, take some 380 MB.
              name: 'HYCO_MAX_CONNECTIONS'
              value: '2000'
            }
            {
              name: 'GOMEMLIMIT'
              value: '448MiB'
            }
            {
              name: 'HYCO_DNS_UPSTREAMS'
              value: '127.0.0.11'
            }
            {
              // Probes come from outside the replica's loopback. Only the port of the
              // ingress is published.
              name: 'HYCO_ADMIN_LISTEN'
              value: '0.0.0.0:8477'
            }
            {
              name: 'HYCO_DRAIN_TIMEOUT'
              value: '30s'
            }
            {
              name: 'GOMEMLIMIT'
              value: '448MiB'
            }
          ]
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/startupz'
                port: 8477
              }
              periodSeconds: 3
              failureThreshold: 10 // the API allows no more
            }
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 8477
              }
              periodSeconds: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/livez'
                port: 8477
              }
              periodSeconds: 20
            }
          ]
          volumeMounts: [
            {
              volumeName: 'relay'
              mountPath: '/run/secrets/hyco-sidecar'
            }
          ]
        }
      ]
      scale: {
        minReplicas: 1
      }
      volumes: [
        {
          name: 'resolv-conf'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'resolv-conf'
              path: 'resolv.conf'
            }
          ]
        }
        {
          name: 'relay'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'relay'
              path: 'connectionString'
            }
          ]
        }
      ]
    }
  }
}

output address string = app.properties.configuration.ingress.fqdn
