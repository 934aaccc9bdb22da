# One instance of `serve` with SQLite on a host volume named ocf-scheduler: nomad job run packaging/nomad.hcl
# The secret is not in this file: nomad var put nomad/jobs/ocf-scheduler client_secret=SECRET
job "ocf-scheduler" {
  type = "service"

  group "scheduler" {
    # SQLite serves one process. Several need PostgreSQL.
    count = 1

    network {
      port "http" {
        to = 8000
      }
    }

    volume "data" {
      type   = "host"
      source = "ocf-scheduler"
    }

    service {
      name     = "ocf-scheduler"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "6s"
      }
    }

    task "scheduler" {
      driver = "docker"

      config {
        image = "ocf-scheduler:latest"
        ports = ["http"]
      }

      env {
        CF_ENDPOINT        = "https://api.example.com"
        CLIENT_ID          = "scheduler"
        CLIENT_SECRET_FILE = "${NOMAD_SECRETS_DIR}/client-secret"
        CALL_DENY_PRIVATE  = "true"
      }

      template {
        destination = "secrets/client-secret"
        data        = "{{ with nomadVar \"nomad/jobs/ocf-scheduler\" }}{{ .client_secret }}{{ end }}"
        perms       = "0400"
        uid         = 65532
        gid         = 65532
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
