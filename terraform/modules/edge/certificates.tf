locals {
  # Host name of the revision with the rollout's tag. Nobody could call that revision otherwise once the service is
  # reachable only through the load balancer.
  candidate_domain = "${var.candidate_tag}.${var.domains[0]}"

  # Hosts of delivery and of its candidate, by the backend service that answers them.
  delivery_hosts = var.delivery == null ? {} : {
    delivery           = var.delivery.domain
    delivery-candidate = "${var.candidate_tag}.${var.delivery.domain}"
  }

  hosts = concat(var.domains, [local.candidate_domain], values(local.delivery_hosts))

  # Resource names allow only letters, digits and hyphens.
  host_names = { for host in local.hosts : host => "${var.name}-${substr(sha256(host), 0, 8)}" }
}

# Ownership of a domain is proved by a separate record before any traffic arrives, so the certificate exists
# when the record of the domain itself changes.
resource "google_certificate_manager_dns_authorization" "this" {
  for_each = local.host_names

  project     = var.project_id
  name        = each.value
  description = "Holds ${each.key}."
  domain      = each.key
  type        = "PER_PROJECT_RECORD"
}

# One for each host, so that adding a host does not change existing ones.
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
