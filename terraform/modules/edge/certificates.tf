locals {
  # Under this name the load balancer reaches the revision that carries the rollout's tag, which nobody else could call
  # once the service is reached through the load balancer alone.
  candidate_domain = "${var.candidate_tag}.${var.domains[0]}"
  hosts            = concat(var.domains, [local.candidate_domain])

  # Names of Google's own resources: letters, digits and hyphens.
  host_names = { for host in local.hosts : host => "${var.name}-${substr(sha256(host), 0, 8)}" }
}

# Whoever holds the domain proves it by a record of its own, before any traffic points here: the certificate is there
# when the domain's own record changes.
resource "google_certificate_manager_dns_authorization" "this" {
  for_each = local.host_names

  project     = var.project_id
  name        = each.value
  description = "Holds ${each.key}."
  domain      = each.key
  type        = "PER_PROJECT_RECORD"
}

# One for each host, so that another host touches none of those that are there.
resource "google_certificate_manager_certificate" "this" {
  for_each = local.host_names

  project     = var.project_id
  name        = each.value
  description = "For ${each.key}."
  scope       = "DEFAULT"

  managed {
    domains            = [each.key]
    dns_authorizations = [google_certificate_manager_dns_authorization.this[each.key].id]
  }
}

resource "google_certificate_manager_certificate_map" "this" {
  project     = var.project_id
  name        = "${var.name}-edge"
  description = "A certificate for each host."
}

resource "google_certificate_manager_certificate_map_entry" "this" {
  for_each = local.host_names

  project      = var.project_id
  name         = each.value
  description  = "For ${each.key}."
  map          = google_certificate_manager_certificate_map.this.name
  hostname     = each.key
  certificates = [google_certificate_manager_certificate.this[each.key].id]
}
